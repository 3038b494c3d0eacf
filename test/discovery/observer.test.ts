import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DiscoveryGraph, graphAnswerSchema } from "#shared/dds/graph.ts";
import { unixRequest } from "../../lab/unix-http.ts";
import { VendorProgram, vendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
import { until } from "../support/system-lab.ts";

/*
 * A discovery process on two networks, and participants of Cyclone DDS and Fast DDS on either: what it learns of them.
 * Each test has a domain of its own, so that those of the one before need not be waited for.
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CAUSEWAY = join(ROOT, "bin/causeway");
let folder = "";
let programs = { cyclone: "", fast: "" };
let discovery: ChildProcess;

const ip = (command: string): string => execFileSync("ip", command.split(" "), { encoding: "utf8" });

function addPod(name: string, number: number): void {
  ip(`netns add ${name}`);
  ip(`link add net${number} type veth peer name eth0 netns ${name}`);
  ip(`address add 10.73.${number}.1/24 dev net${number}`);
  ip(`address add fd73:${number}::1/64 dev net${number} nodad`);
  ip(`link set net${number} up`);
  const addresses = [`10.73.${number}.2/24 dev eth0`, `fd73:${number}::2/64 dev eth0 nodad`];
  const commands = [...addresses.map((address) => `address add ${address}`), "link set eth0 up", "link set lo up"];
  for (const command of commands) ip(`-n ${name} ${command}`);
  ip(`-n ${name} route add default via 10.73.${number}.1`);
  ip(`-n ${name} -6 route add default via fd73:${number}::1`);
}

function writeDomain(mode: "Observe" | "Off"): void {
  // In one step: half a file would be another object, or none.
  const written = join(folder, "domain.new");
  writeFileSync(
    written,
    `apiVersion: causeway.dev/v1alpha1
kind: DiscoveryDomain
metadata: { name: robots }
spec:
  domains: [0-12]
  networks:
    - { network: cell-a, interface: net1 }
    - { network: cell-b, interface: net2 }
  observer: { mode: ${mode} }
`,
  );
  renameSync(written, join(folder, "manifests", "domain.yaml"));
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "causeway-observer-"));
  programs = vendorPrograms();
  addPod("observed-a", 1);
  addPod("observed-b", 2);
  for (const family of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) writeFileSync(`/proc/sys/net/${family}`, "1");
  mkdirSync(join(folder, "manifests"));
  mkdirSync(join(folder, "state"));
  writeDomain("Observe");
  const folders = ["--manifests", join(folder, "manifests"), "--state", join(folder, "state")];
  const options = ["--run-dir", join(folder, "run"), "--pod", "default/relay", "--log-level", "warn"];
  discovery = spawn(CAUSEWAY, ["discovery", ...folders, ...options], { stdio: ["ignore", "ignore", "inherit"] });
  await until(
    () => ask("/readyz"),
    (answer) => answer !== undefined,
    20_000,
    () => "the process is not ready",
  );
});

afterAll(async () => {
  discovery.kill("SIGTERM");
  await once(discovery, "exit");
  for (const [name, link] of [
    ["observed-a", "net1"],
    ["observed-b", "net2"],
  ]) {
    ip(`link del ${link}`);
    ip(`netns del ${name}`);
  }
  rmSync(folder, { recursive: true, force: true });
});

async function ask(path: string): Promise<string | undefined> {
  const answer = await unixRequest(join(folder, "run", "discovery.sock"), "GET", path, 5_000).catch(() => undefined);
  return answer?.status === 200 ? answer.body : undefined;
}

/** What is known of a domain, once it is right. */
async function graphWhere(
  domainId: number,
  right: (graph: DiscoveryGraph) => boolean,
  what: string,
): Promise<DiscoveryGraph> {
  return until(
    async () => {
      const [graph] = graphAnswerSchema.parse(JSON.parse((await ask("/graph")) ?? '{"domains":[]}')).domains;
      if (graph === undefined) throw new Error("nothing is observed");
      const isIts = (each: { readonly domainId: number }): boolean => each.domainId === domainId;
      return { ...graph, participants: graph.participants.filter(isIts), topics: graph.topics.filter(isIts) };
    },
    right,
    15_000,
    (graph) => `${what}: ${JSON.stringify(graph)}`,
  );
}

type Vendor = "cyclone" | "fast";
const NAMESPACES: Readonly<Record<Vendor, string>> = { cyclone: "observed-a", fast: "observed-b" };
const ADDRESSES: Readonly<Record<Vendor, string>> = { cyclone: "10.73.1.2", fast: "10.73.2.2" };

interface Settings {
  readonly seconds?: number;
  readonly userData?: number;
  readonly maxDatagram?: number;
  readonly family?: 4 | 6;
  readonly environment?: Readonly<Record<string, string>>;
}

function run(vendor: Vendor, domainId: number, role: "pub" | "sub", settings: Settings = {}): VendorProgram {
  const { seconds = 30, userData = 16, maxDatagram = 0, environment = {}, family = 4 } = settings;
  const options = [
    `${domainId}`,
    role,
    String(seconds),
    String(userData),
    "16",
    ...(vendor === "fast" ? [`${maxDatagram}`] : []),
  ];
  if (vendor === "fast" && family === 6) options.push("v6");
  const transport = "<General><Transport>udp6</Transport></General>";
  const six: Readonly<Record<string, string>> = family === 6 ? { CYCLONEDDS_URI: transport } : {};
  return new VendorProgram(NAMESPACES[vendor], [programs[vendor], ...options], { ...six, ...environment });
}

/** Everything that the process has written. */
function storedText(): string {
  const files = globSync(join(folder, "state", "**")).filter((path) => statSync(path).isFile());
  return files.map((path) => readFileSync(path, "utf8")).join("\n");
}

const topicOf = ({ topics }: DiscoveryGraph, name = "Reading") => topics.find((topic) => topic.name === name);

const graphCommand = (...options: readonly string[]) =>
  spawnSync(CAUSEWAY, ["discovery", "graph", "--run-dir", join(folder, "run"), ...options], { encoding: "utf8" });

describe.each([
  ["cyclone", 0],
  ["fast", 3],
] as const)("%s", (vendor, domainId) => {
  it("its participant, topic, type and QoS are learned; the endpoint goes, then the participant", async () => {
    await using _peer = run(vendor, domainId, "pub", { seconds: 3, environment: { ENDPOINT_SECONDS: "1.5" } });
    const graph = await graphWhere(domainId, (each) => topicOf(each)?.writers.length === 1, "no writer");
    expect(graph.participants).toMatchObject([
      { name: "recorded", address: ADDRESSES[vendor], domainId, secured: false, writers: 1, readers: 0 },
    ]);
    expect(topicOf(graph)).toMatchObject({
      types: ["plant::Reading"],
      writers: [
        {
          participant: graph.participants[0]?.prefix,
          qos: {
            reliability: "reliable",
            durability: "transient-local",
            ownership: "exclusive",
            liveliness: "manual-by-topic",
            livelinessLeaseMs: 5_000,
            deadlineMs: 2_000,
            partitions: ["north"],
          },
        },
      ],
      matchCount: 0,
      mismatchCount: 0,
    });
    const without = await graphWhere(domainId, (each) => topicOf(each) === undefined, "the writer is still there");
    expect(without.participants).toHaveLength(1);
    await graphWhere(domainId, ({ participants }) => participants.length === 0, "the participant is still there");
  });

  it("descriptions that come in fragments are learned, though every fourth datagram is lost either way", async () => {
    const lossy = ["input", "output"].map((hook) => {
      const rule = `meta l4proto udp numgen random mod 4 == 0 counter drop`;
      return `chain ${hook} { type filter hook ${hook} priority 0; ${rule}; }`;
    });
    execFileSync("nft", [`table inet lossy {\n${lossy.join("\n")}\n}`]);
    try {
      await using _peer = run(vendor, domainId + 1, "sub", { userData: 8_000, maxDatagram: 1_400 });
      await graphWhere(domainId + 1, (each) => topicOf(each)?.readers.length === 1, "no reader");
      const [lost = ""] =
        /packets \d+/.exec(execFileSync("nft", ["list", "table", "inet", "lossy"], { encoding: "utf8" })) ?? [];
      expect(lost).not.toBe("packets 0");
    } finally {
      execFileSync("nft", ["delete table inet lossy"]);
    }
  });

  it("is learned over IPv6", async () => {
    await using _peer = run(vendor, domainId + 2, "pub", { family: 6 });
    const graph = await graphWhere(domainId + 2, (each) => topicOf(each)?.writers.length === 1, "no writer");
    expect(graph.participants[0]?.address).toMatch(/^f[de]/);
  });
});

it("both vendors' endpoints match across networks, and who is killed is gone with them", async () => {
  await using fast = run("fast", 6, "sub", { seconds: 20 });
  {
    const environment = { CYCLONEDDS_URI: "<Discovery><LeaseDuration>2s</LeaseDuration></Discovery>" };
    await using cyclone = run("cyclone", 6, "pub", { environment });
    await cyclone.printed("ready");
    const graph = await graphWhere(6, (each) => topicOf(each)?.matchCount === 1, "no match");
    expect(topicOf(graph)).toMatchObject({ mismatchCount: 0, matches: [{}] });
    expect(graphCommand().status).toBe(0);
    // So says the reader.
    await fast.printed("matched 1");
  }
  // Killed just now, without a word.
  const after = await graphWhere(
    6,
    (each) => topicOf(each)?.writers.length === 0 || topicOf(each) === undefined,
    "it is there",
  );
  expect(after.participants.every(({ vendor }) => vendor === "eProsima Fast DDS")).toBe(true);
});

it("a reliable Cyclone reader with a best-effort Fast writer: flagged by the command, the status and the metrics", async () => {
  await using _writer = run("fast", 7, "pub", { seconds: 8, environment: { BEST_EFFORT: "1" } });
  await using reader = run("cyclone", 7, "sub", { seconds: 8 });
  const graph = await graphWhere(7, (each) => topicOf(each)?.mismatchCount === 1, "no mismatch");
  expect(topicOf(graph)).toMatchObject({ matchCount: 0, mismatches: [{ reasons: [{ policy: "reliability" }] }] });
  const [prefix] = graph.participants.filter(({ vendor }) => vendor === "eProsima Fast DDS").map((each) => each.prefix);
  await reader.printed(`writer ${prefix} Reading`);
  expect(reader.lines).not.toContain("matched 1");
  const text = graphCommand();
  expect(text.status).toBe(1);
  expect(text.stdout).toContain("1 pair that should match and does not");
  expect(text.stdout).toContain("reliability: the reader asks for reliable, the writer offers best-effort");
  expect(text.stdout).toContain("set reliability to reliable on the writer, or to best-effort on the reader");
  expect(text.stdout).toContain('"recorded" (10.73.1.2)');
  const json = JSON.parse(graphCommand("--json").stdout);
  expect(json.instances).toHaveLength(1);
  expect(graphCommand("--dot").stdout).toMatch(/^digraph dds \{[\s\S]*color=red[\s\S]*\n\}\n$/);
  const metrics = await ask("/metrics");
  expect(metrics).toContain('causeway_discovery_mismatches{domain="default/robots"} 1\n');
  expect(metrics).toContain('causeway_discovery_endpoints{domain="default/robots",role="reader"} ');
  const kept = await until(
    () => storedText(),
    (stored) => stored.includes('"reason":"Mismatch"'),
    5_000,
    (stored) => `no condition in ${stored}`,
  );
  expect(kept).toContain("reliability: the reader asks for reliable");
});

it("a partition that nobody shares is flagged where somebody is left alone", async () => {
  await using _writer = run("cyclone", 8, "pub", { seconds: 3, environment: { PARTITION: "south" } });
  await using _reader = run("fast", 8, "sub", { seconds: 3 });
  const graph = await graphWhere(8, (each) => topicOf(each)?.mismatchCount === 1, "no mismatch");
  expect(topicOf(graph)?.mismatches[0]?.reasons.map(({ policy, problem }) => [policy, problem])).toEqual([
    ["partition", 'partition: they share none, the writer is in "south", the reader in "north"'],
  ]);
});

it("ddsperf's many endpoints are learned", async () => {
  const perf = spawn("ip", ["netns", "exec", "observed-a", "ddsperf", "-i", "9", "-D", "4", "pub", "10Hz"], {
    stdio: "ignore",
  });
  try {
    const graph = await graphWhere(9, ({ topics }) => topics.length >= 3, "too few topics");
    expect(graph.topics.every(({ name }) => name.startsWith("DDSPerf"))).toBe(true);
    expect(graph.topics.find(({ name }) => name.startsWith("DDSPerfRData"))?.writers).toHaveLength(1);
  } finally {
    if (perf.exitCode === null) await once(perf, "exit");
  }
});

it("what is not to be observed is not, and participants are told", async () => {
  await using peer = run("cyclone", 10, "pub");
  const { observer } = await graphWhere(10, (each) => topicOf(each)?.writers.length === 1, "no writer");
  await peer.printed(`found ${observer}`);
  writeDomain("Off");
  await peer.printed(`lost ${observer}`);
  expect(graphCommand().stdout).toBe("nothing is observed: no DiscoveryDomain with observer mode Observe\n");
  writeDomain("Observe");
  const again = await until(
    async () => graphAnswerSchema.parse(JSON.parse((await ask("/graph")) ?? "")).domains[0],
    (graph) => graph?.topics.some(({ domainId }) => domainId === 10) === true,
    15_000,
    () => "it is not observed again",
  );
  expect(again?.observer).not.toBe(observer);
});
