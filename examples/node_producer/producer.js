// Pushes numbered messages through a pipelined stream, and waits for a result for each. When the stream breaks it opens another and
// sends again what has no result, so that each is carried out once and in order.
//
//   node producer.js [--addr 127.0.0.1:50051] [--topic demo/numbers | --all | --user NAME] [--count 1000] [--batch 64]
'use strict';
const crypto = require('node:crypto');
const path = require('node:path');
const { parseArgs } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const { values: options } = parseArgs({
  options: {
    addr: { type: 'string', default: '127.0.0.1:50051' },
    topic: { type: 'string', default: 'demo/numbers' },
    user: { type: 'string' },
    all: { type: 'boolean' },
    count: { type: 'string', default: '1000' },
    batch: { type: 'string', default: '64' },
  },
});
const target = options.all ? { all: true } : options.user ? { user_id: options.user } : { topic: options.topic };
const count = Number(options.count);
const batch = Number(options.batch);

const protos = path.join(__dirname, '../../proto');
const definition = protoLoader.loadSync('herald/v1/push_service.proto', { includeDirs: [protos], keepCase: true, longs: Number, defaults: true });
const { PushService } = grpc.loadPackageDefinition(definition).herald.v1;
const client = new PushService(options.addr, grpc.credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });

const command = (seq) => ({
  seq,
  deliver: { target, message: { event: 'number', content_type: 'application/json', payload: Buffer.from(JSON.stringify({ number: seq })) } },
});

const FATAL = [grpc.status.UNAUTHENTICATED, grpc.status.PERMISSION_DENIED, grpc.status.INVALID_ARGUMENT, grpc.status.UNIMPLEMENTED];
const MAX_WAITING = 4096; // also what one request may hold
const producerId = crypto.randomUUID(); // with it a command that is sent again is not carried out again

const started = process.hrtime.bigint();
const waiting = new Map(); // seq → its command, in order, until its result is there
let next = 1;
let failed = 0;
let results = 0;
let attempt = 0;

function connect() {
  const stream = client.Push();
  let full = false;
  stream.on('data', (response) => {
    attempt = 0;
    for (const result of response.results) {
      if (!waiting.delete(result.seq)) continue;
      results += 1;
      if (result.code !== 0) {
        failed += 1;
        console.error(`command ${result.seq}: code ${result.code}: ${result.detail}`);
      }
    }
    if (!full) fill();
  });
  stream.on('error', (error) => {
    console.error(`${options.addr}: ${error.details || error.message}`);
    ended(FATAL.includes(error.code));
  });
  stream.on('end', () => ended(false));
  let over = false;
  function ended(fatal) {
    if (over) return;
    over = true;
    if (fatal || (next > count && waiting.size === 0)) return finish();
    setTimeout(connect, Math.random() * Math.min(10000, 200 * 2 ** attempt)); // full jitter
    attempt += 1;
  }

  // Herald stops reading when it has enough to do; then `write` returns false, and we wait for `drain`.
  function fill() {
    while (next <= count && waiting.size + batch <= MAX_WAITING && !full && !over) {
      const commands = [];
      for (const end = Math.min(next + batch, count + 1); next < end; next += 1) commands.push(command(next));
      for (const each of commands) waiting.set(each.seq, each);
      write({ commands });
    }
    if (next > count && waiting.size === 0 && !over) stream.end();
  }
  function write(request) {
    if (stream.write(request)) return;
    full = true;
    stream.once('drain', () => {
      full = false;
      fill();
    });
  }
  write({ open: { producer_id: producerId }, commands: [...waiting.values()] }); // first, and in order, what has no result
  fill();
}

function finish() {
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  console.log(`${results} results, ${failed} failed, ${seconds.toFixed(2)} s, ${Math.round(results / seconds)} commands/s`);
  if (results !== count || failed) process.exitCode = 1;
  client.close();
}

connect();
