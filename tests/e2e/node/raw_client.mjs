// Nothing but `new WebSocket(url)`: prints what happens as one JSON value a line, sends the lines it reads.
//
//   node --experimental-websocket raw_client.mjs URL      (Node 22 needs no option)
import { createInterface } from 'node:readline';

const print = (value) => console.log(JSON.stringify(value));
const socket = new WebSocket(process.argv[2]);
socket.binaryType = 'arraybuffer';
socket.onopen = () => print({ open: socket.protocol });
socket.onmessage = ({ data }) => print(typeof data === 'string' ? { text: data } : { binary: Buffer.from(data).toString('hex') });
socket.onerror = () => print({ error: true });
socket.onclose = ({ code, reason, wasClean }) => {
  print({ close: code, reason, wasClean });
  process.exit(0);
};
createInterface({ input: process.stdin })
  .on('line', (line) => socket.send(line))
  .on('close', () => socket.close(1000));
