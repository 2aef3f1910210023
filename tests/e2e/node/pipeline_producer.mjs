// The commands of test_pipeline.py, through one pipelined stream of grpc-js. Prints all results as one JSON array:
// [seq, code, detail, matched, {topic: offset}].
//
//   node pipeline_producer.mjs ADDR COMMANDS BAD_FROM
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(`${process.env.HERALD_NODE_MODULES}/`);
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const [addr, commands, badFrom] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const BATCH = 64;
const USERS = 500;
const TOPICS = 50;

const protos = fileURLToPath(new URL('../../../proto', import.meta.url));
const definition = protoLoader.loadSync('herald/v1/push_service.proto', { includeDirs: [protos], keepCase: true, longs: Number, defaults: true });
const { PushService } = grpc.loadPackageDefinition(definition).herald.v1;
const client = new PushService(addr, grpc.credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });

const deliver = (target, payload = '{}', more = {}) => ({
  deliver: { target, message: { payload: Buffer.from(payload), content_type: 'application/json' }, ...more },
});
const bad = [
  {},
  deliver({}),
  deliver({ user_id: '' }),
  deliver({ topic: '$user/u1' }),
  deliver({ topic: 'x'.repeat(256) }),
  deliver({ selector: 'tier in gold' }),
  deliver({ user_id: 'u1' }, `"${'x'.repeat(65536)}"`),
  deliver({ user_id: 'u1' }, '{broken'),
  deliver({ session_id: 'nonsense' }),
  deliver({ user_id: 'nobody' }, '{}', { require_online: true }),
  { join: { target: { all: true }, topics: ['$all'] } },
  { disconnect: { target: { all: true }, code: 1006 } },
];
const badSeqs = new Map();
for (let seq = badFrom; badSeqs.size < bad.length; seq += 1) if (seq % 5) badSeqs.set(seq, bad[badSeqs.size]);

function command(seq) {
  if (badSeqs.has(seq)) return { seq, ...badSeqs.get(seq) };
  let target = { user_id: `u${(Math.floor(seq / 5) * 4 + (seq % 5) - 1) % USERS}` };
  if (seq % 1000 === 0) target = { all: true };
  else if (seq % 5 === 0) target = { topic: `pipe/${(seq / 5) % TOPICS}` };
  return { seq, ...deliver(target, `{"n":${seq}}`) };
}

const results = [];
const stream = client.Push();
stream.on('data', (response) => {
  for (const { seq, code, detail, matched, positions } of response.results) {
    results.push([seq, code, detail, matched, Object.fromEntries(positions.map(({ topic, offset }) => [topic, offset]))]);
  }
});
stream.on('error', (error) => {
  console.error(`${error.code}: ${error.details}, after ${results.length} results`);
  process.exit(1);
});
stream.on('end', () => {
  client.close();
  process.stdout.write(JSON.stringify(results));
});

function fill(next) {
  while (next <= commands) {
    const batch = [];
    for (let end = Math.min(next + BATCH, commands + 1); next < end; next += 1) batch.push(command(next));
    if (!stream.write({ commands: batch })) {
      stream.once('drain', () => fill(next));
      return;
    }
  }
  stream.end();
}
fill(1);
