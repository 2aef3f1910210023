// Pushes numbered messages through a pipelined stream, and waits for a result for each. When the stream breaks it opens another, at the
// next address, and sends again what has no result, so that each is carried out once and in order. When the replica leaves and says so
// (`moving`), it waits for the results of what is under way, brings the stream to its end and goes on at the next.
//
//   node producer.js [--addr 127.0.0.1:50051,127.0.0.1:50052] [--topic demo/numbers | --all | --user NAME] [--count 1000] [--batch 64]
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
const channelOptions = {
  'grpc.enable_http_proxy': 0,
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }), // of a name with several addresses
};
const clients = options.addr.split(',').map((addr) => new PushService(addr, grpc.credentials.createInsecure(), channelOptions));

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
let streams = 0;

function connect() {
  const stream = clients[streams % clients.length].Push();
  streams += 1;
  let full = false;
  let moving = false;
  let over = false;
  stream.on('data', (response) => {
    for (const result of response.results) {
      if (result.code === grpc.status.UNAVAILABLE) continue; // the stream ends now, and it is sent again
      attempt = 0;
      if (!waiting.delete(result.seq)) continue;
      results += 1;
      if (result.code !== 0) {
        failed += 1;
        console.error(`command ${result.seq}: code ${result.code}: ${result.detail}`);
      }
    }
    if (response.moving) {
      moving = true;
      attempt = 0;
    }
    // Not before: with its last stream the connection closes, and then grpc-js drops what it has not handed on yet.
    if (moving && waiting.size === 0) stream.end();
    if (!full) fill();
  });
  stream.on('error', (error) => {
    if (!moving || waiting.size > 0) console.error(`${options.addr}: ${error.details || error.message}`);
    ended(FATAL.includes(error.code));
  });
  stream.on('end', () => ended(false));
  function ended(fatal) {
    if (over) return;
    over = true;
    if (fatal || (next > count && waiting.size === 0)) return finish();
    attempt += moving ? 0 : 1;
    const tries = attempt - clients.length; // the others are asked at once
    setTimeout(connect, moving || tries < 0 ? 0 : Math.random() * Math.min(10000, 200 * 2 ** tries)); // full jitter
  }

  // Herald stops reading when it has enough to do; then `write` returns false, and we wait for `drain`.
  function fill() {
    while (next <= count && waiting.size + batch <= MAX_WAITING && !full && !over && !moving) {
      const commands = [];
      for (const end = Math.min(next + batch, count + 1); next < end; next += 1) commands.push(command(next));
      for (const each of commands) waiting.set(each.seq, each);
      write({ commands });
    }
    if (next > count && waiting.size === 0 && !over && !moving) stream.end();
  }
  function write(request) {
    if (stream.write(request)) return;
    full = true;
    stream.once('drain', () => {
      full = false;
      fill();
    });
  }
  write({ open: { producer_id: producerId, end_at_unavailable: true }, commands: [...waiting.values()] }); // first, and in order, what has no result
  fill();
}

function finish() {
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  console.log(`${results} results, ${failed} failed, ${seconds.toFixed(2)} s, ${Math.round(results / seconds)} commands/s`);
  if (results !== count || failed) process.exitCode = 1;
  for (const client of clients) client.close();
}

connect();
