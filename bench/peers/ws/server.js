// Broadcast as the README of ws shows it: a loop over wss.clients.  node server.js PORT
const { createRequire } = require('node:module');
const http = require('node:http');
const { WebSocket, WebSocketServer } = createRequire(process.env.NODE_MODULES + '/')('ws');

const options = { noServer: true, perMessageDeflate: false };
const subscribers = new WebSocketServer(options);
const publishers = new WebSocketServer({ ...options, clientTracking: false });

publishers.on('connection', (publisher) => {
  publisher.on('error', () => {});
  publisher.on('message', (data) => {
    for (const client of subscribers.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary: false });
    }
  });
});
subscribers.on('connection', (client) => client.on('error', () => {}));

const server = http.createServer((_, response) => response.writeHead(404).end());
server.on('upgrade', (request, socket, head) => {
  const wss = request.url === '/pub' ? publishers : subscribers;
  wss.handleUpgrade(request, socket, head, (client) => wss.emit('connection', client, request));
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
