// A small Node app: `node examples/node/server.js`, then `doorstep share 3000`.
const http = require('node:http');

const port = Number(process.env.PORT || 3000);

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/whoami') {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ host: request.headers.host, headers: request.headers }));
  } else if (url.pathname === '/echo') {
    request.pipe(response);
  } else if (url.pathname === '/trailers') {
    response.writeHead(200, { 'Content-Type': 'text/plain', Trailer: 'X-Lines' });
    response.write('one\ntwo\n');
    response.addTrailers({ 'X-Lines': '2' });
    response.end();
  } else if (url.pathname === '/early') {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    setTimeout(() => response.end('after the hint\n'), 50);
  } else if (url.pathname === '/') {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(`<h1>Node is at home</h1><p>You asked for ${request.headers.host.replace(/[^\w.:[\]-]/g, '')}.</p>`);
  } else {
    response.statusCode = 404;
    response.end('Not here.\n');
  }
});

// Any upgrade is answered by sending back what comes in.
server.on('upgrade', (request, socket, head) => {
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`);
  socket.write(head);
  socket.pipe(socket);
});

server.listen(port, '127.0.0.1', () => console.log(`http://localhost:${port}`));
