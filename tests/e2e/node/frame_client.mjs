// `new WebSocket(url, subprotocol)` for both subprotocols. Prints every server frame as canonical JSON, one a line; sends the
// client frames it reads, in the same form. With herald.v1.proto the frames are encoded by code generated from client_protocol.proto.
//
//   node --experimental-websocket frame_client.mjs URL herald.v1.json
//   node --experimental-websocket frame_client.mjs URL herald.v1.proto GENERATED_MODULE
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const [url, protocol, generated] = process.argv.slice(2);
const print = (value) => console.log(JSON.stringify(value));

let encode = JSON.stringify;
let decode = (data) => JSON.parse(data);
if (protocol === 'herald.v1.proto') {
  const { ClientFrame, ServerFrame } = createRequire(import.meta.url)(generated).herald.v1;
  encode = (frame) => ClientFrame.encode(ClientFrame.fromObject(frame)).finish();
  decode = (data) => {
    if (typeof data === 'string') throw new Error('a text frame');
    return ServerFrame.toObject(ServerFrame.decode(new Uint8Array(data)), { longs: String, bytes: String });
  };
}

const socket = new WebSocket(url, protocol);
socket.binaryType = 'arraybuffer';
socket.onopen = () => print({ open: socket.protocol });
socket.onmessage = ({ data }) => print(decode(data));
socket.onerror = () => print({ error: true });
socket.onclose = ({ code, reason, wasClean }) => {
  print({ close: code, reason, wasClean });
  process.exit(0);
};
createInterface({ input: process.stdin })
  .on('line', (line) => socket.send(encode(JSON.parse(line))))
  .on('close', () => socket.close(1000));
