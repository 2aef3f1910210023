// Bun's publish to a topic; what a WebSocket at /pub sends goes to all others.  bun server.js PORT
const server = Bun.serve({
  port: Number(process.argv[2]),
  hostname: '127.0.0.1',
  fetch(request, server) {
    const publishes = new URL(request.url).pathname === '/pub';
    if (!server.upgrade(request, { data: { publishes } })) return new Response('no WebSocket', { status: 404 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    backpressureLimit: 16 * 1024 * 1024,
    open(socket) {
      if (!socket.data.publishes) socket.subscribe('bench');
    },
    message(socket, text) {
      if (socket.data.publishes) server.publish('bench', text);
    },
  },
});
