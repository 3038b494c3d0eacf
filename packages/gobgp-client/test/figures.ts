/**
 * Measures against a real gobgpd and BIRD: sh scripts/sandbox.sh node packages/gobgp-client/test/figures.ts
 * Prints one JSON object; times in milliseconds, memory in megabytes.
 */
import { GobgpClient } from "../src/index.ts";
import { Lab, until } from "./lab.ts";

const rounded = (value: number): number => Math.round(value * 10) / 10;
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

await using lab = await Lab.create();
const bird = lab.startBird();
lab.startGobgpd();
await bird;
const client = await GobgpClient.connect({ address: lab.address });
await client.startBgp({ asn: Lab.gobgp.asn, routerId: Lab.gobgp.v4 });

const peer = {
  address: Lab.bird.v4,
  peerAsn: Lab.bird.asn,
  password: "secret",
  ttlSecurity: { ttlMin: 255 },
  timers: { holdTimeSeconds: 3, connectRetrySeconds: 1 },
  families: [{ family: "ipv4-unicast" }, { family: "ipv6-unicast" }],
} as const;

const sessionUp: number[] = [];
for (let round = 0; round < 3; round++) {
  await client.deletePeer(peer.address);
  await until("down in BIRD", async () => !(await lab.birdEstablished()));
  const start = performance.now();
  await client.addPeer(peer);
  await until("session up", () => lab.birdEstablished());
  sessionUp.push(performance.now() - start);
}

const add: number[] = [];
const remove: number[] = [];
for (let i = 1; i <= 20; i++) {
  const prefix = `192.0.2.${i}/32`;
  const has = (want: boolean) => async () => (await lab.birdc(`show route ${prefix}`)).includes("unicast") === want;
  let start = performance.now();
  await client.addPath({ prefix, nextHop: Lab.gobgp.v4 });
  await until(`${prefix} in BIRD`, has(true));
  add.push(performance.now() - start);
  start = performance.now();
  await client.deletePath(prefix);
  await until(`${prefix} gone`, has(false));
  remove.push(performance.now() - start);
}

const prefixes = Array.from({ length: 1000 }, (_, i) => `198.18.${i >> 8}.${i & 255}/32`);
const start = performance.now();
await Promise.all(
  prefixes.map((prefix) => client.addPath({ prefix, nextHop: Lab.gobgp.v4, communities: ["65000:1"] })),
);
const added = performance.now() - start;
await until("all in BIRD", async () => /Routes:\s+1000 imported/.test(await lab.birdc("show protocols all gobgp")));
const inBird = performance.now() - start;
const listing = performance.now();
const listed = await client.listPaths({ table: "global", family: "ipv4-unicast" });
const figures = {
  sessionUpMs: sessionUp.map(rounded),
  addPathToBirdMs: { median: rounded(median(add)), max: rounded(Math.max(...add)) },
  deletePathToBirdMs: { median: rounded(median(remove)), max: rounded(Math.max(...remove)) },
  thousandAddPathsMs: { answered: rounded(added), inBird: rounded(inBird) },
  listPaths: { paths: listed.length, ms: rounded(performance.now() - listing) },
  residentMb: rounded(process.memoryUsage().rss / 1e6),
};
client.close();
process.stdout.write(`${JSON.stringify(figures, undefined, 2)}\n`);
