import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { unixRequest } from "../../lab/unix-http.ts";
import { compileVendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
import type { TopicsStatus } from "../../topics/run-topics.ts";
import { DdsNetwork, type DdsPod } from "../discovery/support/dds-network.ts";
import { CONNEXT_FOLDER, HAS_CONNEXT, type Programs, participant, VENDORS } from "../discovery/support/vendors.ts";

/*
 * Topics with the real library: publishers and subscribers of all vendors on one subnet, TCP clients in the pod that
 * serves the Topics.
 */

const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const WITHOUT = HAS_CONNEXT ? "" : " (skipped: CONNEXT_FOLDER names no folder with rticonnextdds-connector)";

/** Not as reading.idl has it: a bound more. Cyclone DDS matches it all the same, as we do not announce the type. */
const TYPES = `<dds><types><module name="plant"><struct name="Reading" extensibility="final">
  <member name="id" type="int32" key="true"/>
  <member name="octets" type="byte" sequenceMaxLength="1000"/>
</struct></module></types></dds>`;
/** As `nc 127.0.0.1 PORT`, which is not on every machine. */
const NETCAT =
  'const socket = require("node:net").connect(process.argv[1], "127.0.0.1"); process.stdin.pipe(socket); socket.pipe(process.stdout)';
const PORTS = { readings: 7500, commands: 7501, both: 7502 } as const;

describe.skipIf(!HAS_CONNEXT)(`Topics with RTI Connext${WITHOUT}`, () => {
  let folder = "";
  let programs: Programs;
  let network: DdsNetwork;
  let pod: DdsPod;
  let robot: DdsPod;
  let server: ChildProcess | undefined;
  const clients: ChildProcess[] = [];

  function write(name: string, ...objects: readonly object[]): void {
    writeFileSync(
      join(network.folder, "manifests", `${name}.yaml`),
      objects.map((one) => `---\n${stringify(one)}`).join(""),
    );
  }

  const topic = (name: keyof typeof PORTS, spec: Readonly<Record<string, unknown>>): object => ({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "Topic",
    metadata: { name },
    spec: {
      topic: "Reading",
      type: "plant::Reading",
      types: { configMap: { name: "plant", key: "types.xml" } },
      service: { name: "topics", port: PORTS[name] },
      qos: { partitions: ["north"], ownership: "Exclusive" },
      ...spec,
    },
  });

  /** A TCP client in the pod; what it is sent goes to `lines`. */
  function client(name: keyof typeof PORTS): { readonly lines: string[]; say(text: string): void } {
    const child = spawn("ip", ["netns", "exec", pod.namespace, process.execPath, "-e", NETCAT, String(PORTS[name])], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    clients.push(child);
    const state = { lines: [] as string[], rest: "" };
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const parts = (state.rest + chunk).split("\n");
      state.rest = parts.pop() ?? "";
      state.lines.push(...parts);
    });
    return { lines: state.lines, say: (text) => void child.stdin.write(text) };
  }

  async function status(): Promise<TopicsStatus> {
    const { body } = await unixRequest(join(network.folder, "run", "topics.sock"), "GET", "/status", 2_000);
    return JSON.parse(body);
  }
  const until = (check: () => unknown, timeout = 20_000) => vi.waitFor(check, { timeout, interval: 50 });
  const statusOf = async (name: string) => (await status()).topics.find(({ topic: key }) => key === `default/${name}`);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "causeway-topics-"));
    programs = compileVendorPrograms(folder);
    network = new DdsNetwork("dt");
    pod = network.addPod("topics", "a");
    robot = network.addPod("robot", "a");
    mkdirSync(join(network.folder, "run"));
    write(
      "topics",
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "topics" },
        spec: {
          selector: { app: "topics" },
          ports: Object.entries(PORTS).map(([name, port]) => ({ name, port })),
        },
      },
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "plant" }, data: { "types.xml": TYPES } },
      { apiVersion: "v1", kind: "Pod", metadata: { name: "topics-1", labels: { app: "topics" } } },
    );
    const command = [
      "topics",
      "--manifests",
      join(network.folder, "manifests"),
      "--state",
      join(network.folder, "state"),
    ];
    const more = ["--run-dir", join(network.folder, "run"), "--pod", "default/topics-1", "--connext", CONNEXT_FOLDER];
    server = spawn(
      "ip",
      ["netns", "exec", pod.namespace, CAUSEWAY, ...command, ...more, "--drain-ms", "0", "--log-level", "warn"],
      {
        stdio: ["ignore", "inherit", "inherit"],
      },
    );
    await until(async () => expect((await status()).topics).toEqual([]));
  });
  afterAll(async () => {
    for (const child of clients) child.kill("SIGKILL");
    if (server !== undefined && server.exitCode === null) {
      const ended = once(server, "exit");
      server.kill("SIGTERM");
      await ended;
    }
    await network?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(VENDORS)("a client gets samples of %s as lines of JSON", async (vendor) => {
    write("readings", topic("readings", {}));
    await until(async () => expect(await statusOf("readings")).toMatchObject({ port: PORTS.readings }));
    const { lines } = client("readings");
    // Those of before were killed: they are matched until their leases end.
    const id = VENDORS.indexOf(vendor) + 1;
    await using _publisher = participant(programs, vendor, robot, { role: "pub", id });
    const sampleOf = (line: string): boolean => new RegExp(`^{"id":${id},"octets":\\[[0-9,]+\\]}$`).test(line);
    await until(() => expect(lines.filter(sampleOf).length).toBeGreaterThan(3));
    expect((await statusOf("readings"))?.publishers).toBeGreaterThan(0);
  });

  it.each(VENDORS)("a line that a client sends is a sample for %s", async (vendor) => {
    write("commands", topic("commands", { direction: "Publish" }));
    await until(async () => expect(await statusOf("commands")).toMatchObject({ port: PORTS.commands }));
    await using subscriber = participant(programs, vendor, robot, { role: "sub", plain: true });
    await subscriber.printed("matched 1");
    const { lines, say } = client("commands");
    say('{"id": 5, "octets": [1, 2, 3]}\n{"id": "x"}\n{"nope": 1}\n');
    await subscriber.printed("sample of 5");
    await until(() =>
      expect(lines).toEqual([
        '{"causeway.dev/error":"line 2: member \\"id\\" does not fit plant::Reading"}',
        '{"causeway.dev/error":"line 3: plant::Reading has no member \\"nope\\""}',
      ]),
    );
  });

  it("Both: what one client sends, others read; deep nesting does no harm", async () => {
    write("both", topic("both", { topic: "Chat", direction: "Both" }));
    await until(async () => expect(await statusOf("both")).toMatchObject({ publishers: 1, subscribers: 1 }));
    const [one, two] = [client("both"), client("both")];
    await until(async () => expect(await statusOf("both")).toMatchObject({ clients: 2 }));
    one.say(`{"octets": ${"[".repeat(20_000)}${"]".repeat(20_000)}}\n`);
    one.say('{"id": 1}\n');
    await until(() => expect(two.lines).toEqual(['{"id":1,"octets":[]}']));
    expect(one.lines).toContain('{"causeway.dev/error":"line 1: it is nested deeper than 32"}');
  });

  it("types that Connext does not take are the Topic's own problem", async () => {
    const data = { "types.xml": TYPES.replace('key="true"', 'kay="true"') };
    write("broken", { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "broken" }, data });
    write("commands", topic("commands", { types: { configMap: { name: "broken", key: "types.xml" } } }));
    await until(async () =>
      expect((await statusOf("commands"))?.problem).toMatch(/RTI Connext does not take spec\.types/),
    );
    expect(await statusOf("both")).toMatchObject({ port: PORTS.both, publishers: 1 });
    write("commands", topic("commands", { direction: "Publish" }));
    await until(async () => expect(await statusOf("commands")).toMatchObject({ port: PORTS.commands }));
  });
});
