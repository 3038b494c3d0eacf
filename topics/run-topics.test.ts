import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Topic } from "#shared/api/topic.ts";
import { type Manifest, object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { MemoryLibrary } from "./adapter/memory-adapter.fixture.ts";
import type { LoadLibrary } from "./adapter/topic-adapter.ts";
import { connextLoader } from "./connext/connext-library.ts";
import { topicsMetrics } from "./metrics.ts";
import { type RunningTopics, runTopics } from "./run-topics.ts";

const XML =
  '<dds><types><module name="plant"><struct name="Reading"><member name="n" type="int32"/></struct></module></types></dds>';
const log = pino({ level: "silent" });

let folder: string;
let stop: AbortController;
let running: RunningTopics | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cw-topics-"));
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await running?.done;
  running = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** A port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

const pod = (name: string): Manifest => ({ kind: "Pod", metadata: { name, labels: { app: "topics" } } });
const configMap = (text: string): Manifest => ({
  kind: "ConfigMap",
  metadata: { name: "plant" },
  data: { "types.xml": text },
});

async function world(...more: Manifest[]) {
  const [one, two] = [await freePort(), await freePort()];
  const ports = [one, two].map((port, index) => ({ name: `p${index}`, port }));
  const service: Manifest = {
    kind: "Service",
    metadata: { name: "topics" },
    spec: { selector: { app: "topics" }, ports },
  };
  const store = new MemoryStore([pod("topics-1"), service, ...more].map(object));
  return { store, one, two };
}

const topic = (name: string, port: number, spec: Readonly<Record<string, unknown>> = {}): Manifest => ({
  kind: "Topic",
  metadata: { name },
  spec: {
    topic: "Reading",
    type: "plant::Reading",
    types: { configMap: { name: "plant", key: "types.xml" } },
    service: { name: "topics", port },
    ...spec,
  },
});

async function start(store: MemoryStore, loadLibrary: LoadLibrary): Promise<RunningTopics> {
  running = await runTopics({
    store,
    pod: { namespace: "default", name: "topics-1" },
    loadLibrary,
    drainMs: 0,
    log,
    clock: { nowMs: () => Date.now() },
    nowMs: () => performance.now(),
    signal: stop.signal,
  });
  return running;
}

const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 15_000, interval: 10 });
const statusOf = (store: MemoryStore, name: string): Topic["status"] => store.get("Topic", "default", name)?.status;

/** All that a client gets until its connection ends. */
async function read(port: number): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(socket, "close");
  return text;
}

it("serves a Topic at its Service's port, says so in its status, and takes that back when it ends", async () => {
  const { store, one } = await world(configMap(XML));
  store.put(object(topic("readings", one)));
  const library = new MemoryLibrary();
  const topics = await start(store, async () => library);
  await until(() => expect(topics.ready()).toBe(true));
  expect(library.opened[0]?.settings).toMatchObject({
    key: "default/readings",
    types: { topicTypes: ["plant::Reading"] },
  });
  await until(() =>
    expect(statusOf(store, "readings")).toMatchObject({
      conditions: [{ type: "Serving", status: "True" }],
      instances: [{ name: "topics-1", state: "Serving", clients: 0, publishers: 1, subscribers: 2 }],
    }),
  );
  const text = read(one);
  await until(() => expect(topics.status().topics[0]?.clients).toBe(1));
  library.opened[0]?.arrive([{ n: 1 }]);
  await until(() =>
    expect(topicsMetrics(topics.status())).toContain(
      'causeway_topic_samples_total{topic="default/readings",direction="read"} 1',
    ),
  );
  stop.abort();
  expect(await text).toBe('{"n":1}\n{"causeway.dev/error":"this instance ends; connect again"}\n');
  await topics.done;
  expect(topics.ready()).toBe(false);
  expect(statusOf(store, "readings")?.instances).toEqual([]);
  expect(library.opened.every(({ isClosed }) => isClosed)).toBe(true);
});

describe("what is wrong is said with the field, others are served, and it is served when it is right", () => {
  it.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    [
      "no such ConfigMap",
      { types: { configMap: { name: "nope", key: "x" } } },
      /^spec\.types\.configMap\.name: ConfigMap default\/nope does not exist$/,
    ],
    [
      "no such key",
      { types: { configMap: { name: "plant", key: "x" } } },
      /^spec\.types\.configMap\.key: ConfigMap default\/plant has no key "x"; it has types\.xml$/,
    ],
    [
      "no such type",
      { type: "plant::Readin" },
      /^spec\.types\.configMap: plant, key types\.xml: there is no plant::Readin in it; did you mean plant::Reading\?$/,
    ],
    [
      "no such file",
      { types: { file: "/nowhere/types.xml" } },
      /^spec\.types\.file: \/nowhere\/types\.xml cannot be read where the Topic is served: ENOENT$/,
    ],
  ])("%s", async (_, broken, message) => {
    const { store, one, two } = await world(configMap(XML));
    store.put(object(topic("good", one)));
    store.put(object(topic("broken", two, broken)));
    const library = new MemoryLibrary();
    const topics = await start(store, async () => library);
    await until(() =>
      expect(statusOf(store, "broken")?.instances).toMatchObject([
        { state: "Failed", message: expect.stringMatching(message) },
      ]),
    );
    expect(statusOf(store, "broken")?.conditions).toMatchObject([
      { type: "Serving", status: "False", reason: "Failed" },
    ]);
    await until(() => expect(statusOf(store, "good")?.instances).toMatchObject([{ state: "Serving" }]));
    expect(topics.ready()).toBe(true);
    store.put(object(topic("broken", two)));
    await until(() => expect(statusOf(store, "broken")?.instances).toMatchObject([{ state: "Serving" }]));
    expect(library.opened).toHaveLength(2);
  });

  it("XML that is none, and then is", async () => {
    const { store, one } = await world(configMap("<types><struct"));
    store.put(object(topic("readings", one)));
    const topics = await start(store, async () => new MemoryLibrary());
    await until(() =>
      expect(topics.status().topics[0]?.problem).toMatch(/^spec\.types\.configMap: plant, key types\.xml: line 1: /),
    );
    expect(topics.ready()).toBe(false);
    store.put(object(configMap(XML)));
    await until(() => expect(topics.ready()).toBe(true));
  });
});

it("a file of types is read, and its clients are told when the Topic changes", async () => {
  const file = join(folder, "types.xml");
  writeFileSync(file, XML);
  const { store, one } = await world();
  store.put(object(topic("readings", one, { types: { file } })));
  const library = new MemoryLibrary();
  const topics = await start(store, async () => library);
  await until(() => expect(topics.ready()).toBe(true));
  const text = read(one);
  await until(() => expect(topics.status().topics[0]?.clients).toBe(1));
  store.put(object(topic("readings", one, { types: { file }, domain: 3 })));
  expect(await text).toBe('{"causeway.dev/error":"the Topic has changed; connect again"}\n');
  await until(() => expect(library.opened[1]?.settings.spec.domain).toBe(3));
  expect(library.opened[0]?.isClosed).toBe(true);
});

it("a port that is taken is the Topic's problem, and no other's", async () => {
  const { store, one, two } = await world(configMap(XML));
  const squatter = createServer().listen(one);
  await once(squatter, "listening");
  try {
    store.put(object(topic("taken", one)));
    store.put(object(topic("good", two)));
    const topics = await start(store, async () => new MemoryLibrary());
    await until(() => expect(topics.status().topics).toHaveLength(2));
    expect(topics.status().topics).toMatchObject([
      { topic: "default/good", port: two },
      {
        topic: "default/taken",
        problem: `spec.service.port: port ${one} of the pod cannot be listened at: EADDRINUSE`,
      },
    ]);
  } finally {
    squatter.close();
  }
});

it("without the library every Topic says how to get it", async () => {
  const { store, one } = await world(configMap(XML));
  store.put(object(topic("readings", one)));
  const topics = await start(store, connextLoader({ folder, runDir: folder, log }));
  await until(() =>
    expect(statusOf(store, "readings")?.instances).toMatchObject([
      {
        state: "Failed",
        message:
          `RTI Connext is not installed in ${folder}; \`npm install --prefix ${folder} rticonnextdds-connector@1.5.0\` installs it, ` +
          `by RTI's licence; then give its folder by CONNEXT_FOLDER or --connext ${folder}`,
      },
    ]),
  );
  expect(topics.ready()).toBe(false);
});

it("nothing to serve is nothing wrong, and the library is not loaded", async () => {
  const { store } = await world();
  const loadLibrary = vi.fn<LoadLibrary>();
  const topics = await start(store, loadLibrary);
  await until(() => expect(topics.ready()).toBe(true));
  expect(loadLibrary).not.toHaveBeenCalled();
});

it("without its Pod nobody knows what it serves", async () => {
  const { store, one } = await world(configMap(XML));
  store.put(object(topic("readings", one)));
  store.remove({ kind: "Pod", namespace: "default", name: "topics-1" });
  const topics = await start(store, async () => new MemoryLibrary());
  await until(() => expect(topics.status().problem).toBe("there is no Pod default/topics-1 (--pod)"));
  expect(topics.ready()).toBe(false);
  store.put(object(pod("topics-1")));
  await until(() => expect(topics.ready()).toBe(true));
  expect(topics.status().problem).toBeUndefined();
});
