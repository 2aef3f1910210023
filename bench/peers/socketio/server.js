// io.emit of what a plain WebSocket at /pub sends.  node server.js PORT
const { createRequire } = require('node:module');
const http = require('node:http');
const require_ = createRequire(process.env.NODE_MODULES + '/');
const { Server } = require_('socket.io');
const { WebSocketServer } = require_('ws');

const NEVER_MS = 3_600_000;
const server = http.createServer((_, response) => response.writeHead(404).end());
const io = new Server(server, {
  transports: ['websocket'],
  destroyUpgrade: false, // /pub is not its own
  pingInterval: NEVER_MS,
  pingTimeout: NEVER_MS,
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
});

const publishers = new WebSocketServer({ noServer: true, perMessageDeflate: false });
publishers.on('connection', (publisher) => {
  publisher.on('error', () => {});
  publisher.on('message', (data) => io.emit('message', JSON.parse(data)));
});
server.on('upgrade', (request, socket, head) => {
  if (request.url !== '/pub') return;
  publishers.handleUpgrade(request, socket, head, (client) => publishers.emit('connection', client, request));
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
