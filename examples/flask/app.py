"""A small Flask app: `flask --app examples/flask/app run`, then `doorstep share 5000`."""

import time

from flask import Flask, Response, jsonify, redirect, request, url_for

app = Flask(__name__)


@app.get("/")
def index():
    return f"<h1>Flask is at home</h1><p>You asked for {request.host}. <a href={url_for('whoami')}>Who am I?</a></p>"


@app.get("/whoami")
def whoami():
    """What the app learns about its visitor."""
    return jsonify(
        host=request.host,
        address=request.remote_addr,
        forwarded={name: value for name, value in request.headers if "Forwarded" in name},
    )


@app.get("/old")
def old():
    """A redirect to an absolute address, as the app knows its own."""
    return redirect(url_for("index", _external=True))


@app.post("/echo")
def echo():
    """Whatever was sent."""
    return Response(request.get_data(), mimetype=request.mimetype or "application/octet-stream")


@app.get("/ticks")
def ticks():
    """Server-sent events, one at a time."""

    count = int(request.args.get("n", 5))

    def stream():
        for number in range(count):
            yield f"data: {number}\n\n"
            time.sleep(0.2)

    return Response(stream(), mimetype="text/event-stream")


@app.get("/oops")
def oops():
    """What visitors see when the app has a bug."""
    raise RuntimeError("oops")
