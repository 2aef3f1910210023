// Pushes numbered messages through one pipelined stream, and waits for a result for each.
//
//   node producer.js [--addr 127.0.0.1:50051] [--topic demo/numbers | --all | --user NAME] [--count 1000] [--batch 64]
'use strict';
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

const stream = client.Push();
const started = process.hrtime.bigint();
let failed = 0;
let results = 0;

stream.on('data', (response) => {
  for (const result of response.results) {
    results += 1;
    if (result.code !== 0) {
      failed += 1;
      console.error(`command ${result.seq}: code ${result.code}: ${result.detail}`);
    }
  }
});
stream.on('error', (error) => {
  console.error(`${options.addr}: ${error.details || error.message}`);
  process.exitCode = 1;
});
stream.on('end', () => {
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  console.log(`${results} results, ${failed} failed, ${seconds.toFixed(2)} s, ${Math.round(results / seconds)} commands/s`);
  if (results !== count || failed) process.exitCode = 1;
  client.close();
});

// Herald stops reading when it has enough to do; then `write` returns false, and we wait for `drain`.
function fill(next) {
  while (next <= count) {
    const commands = [];
    for (let end = Math.min(next + batch, count + 1); next < end; next += 1) commands.push(command(next));
    if (!stream.write({ commands })) {
      stream.once('drain', () => fill(next));
      return;
    }
  }
  stream.end();
}
fill(1);
