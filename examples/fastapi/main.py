"""A small FastAPI app: `uvicorn --app-dir examples/fastapi main:app`, or `doorstep up` in this folder."""

import asyncio

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, StreamingResponse

app = FastAPI()

PAGE = """<!doctype html>
<title>FastAPI is at home</title>
<h1>FastAPI is at home</h1>
<input placeholder="Say something" autofocus> <output></output>
<script>
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/echo`);
  const [input, output] = document.querySelectorAll("input, output");
  input.oninput = () => socket.send(input.value);
  socket.onmessage = ({ data }) => { output.textContent = data; };
</script>
"""


@app.get("/", response_class=HTMLResponse)
async def index():
    return PAGE


@app.get("/whoami")
async def whoami(request: Request):
    """What the app learns about its visitor."""
    forwarded = {name: value for name, value in request.headers.items() if "forwarded" in name}
    return {"host": request.url.hostname, "scheme": request.url.scheme, "forwarded": forwarded}


@app.get("/ticks")
async def ticks(n: int = 5):
    """Server-sent events, one at a time."""

    async def stream():
        for number in range(n):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.websocket("/echo")
async def echo(socket: WebSocket):
    """Sends back what comes in."""
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass
