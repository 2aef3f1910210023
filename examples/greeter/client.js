// A client that needs nothing but `new WebSocket(url)`. Paste it into a browser's console on Herald's demo page, or run it:
//
//   node --experimental-websocket client.js [ws://127.0.0.1:8080/ws]      (Node 20; Node 22 needs no option)
//
// It prints what arrives; under Node it sends what is typed.
const inNode = typeof process === 'object';
const url = (inNode && process.argv[2]) || 'ws://127.0.0.1:8080/ws';
const socket = new WebSocket(url);

socket.onopen = () => console.log('connected');
socket.onmessage = (message) => console.log(message.data);
socket.onerror = () => console.log('error');
socket.onclose = (close) => {
  console.log(`closed ${close.code} ${close.reason}`.trim());
  if (inNode) process.exit(close.code === 1000 ? 0 : 1);
};

if (inNode) {
  require('node:readline')
    .createInterface({ input: process.stdin })
    .on('line', (line) => socket.send(line))
    .on('close', () => socket.close(1000));
}
