import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { type DiscoveryGraph, graphAnswerSchema } from "#shared/dds/graph.ts";
import { type GroupAnswerGroup, groupsAnswerSchema } from "#shared/dds/groups.ts";
import { unixRequest } from "../../../lab/unix-http.ts";
import type { VendorProgram } from "../../../packages/rtps-wire/test/vendor-program.ts";
import { DdsNetwork, type DdsPod, eventually, type RelayProcess } from "./dds-network.ts";
import { type ParticipantOptions, type Programs, participant, type Vendor } from "./vendors.ts";

/*
 * Publishers on subnet a, the pods of Service "planner" on subnet b, a relay on both, the controller and the node agent.
 * Publishers write five samples a second, each its own instance.
 */

const CAUSEWAY = join(fileURLToPath(new URL("../../..", import.meta.url)), "bin/causeway");
const PERIOD_MS = 200;

/** A process that is ready when its socket says so. */
class Daemon {
  readonly #child: ChildProcess;
  readonly #socket: string;

  constructor(command: readonly string[], socket: string) {
    this.#socket = socket;
    this.#child = spawn(CAUSEWAY, [...command], { stdio: ["ignore", "ignore", "inherit"] });
  }

  async ready(): Promise<this> {
    await eventually("it is ready", async () => {
      const answer = await unixRequest(this.#socket, "GET", "/readyz", 1_000).catch(() => undefined);
      return answer?.status === 200;
    });
    return this;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}

/** A sample that a member has got. */
interface Taken {
  readonly member: string;
  readonly publisher: number;
  readonly number: number;
  readonly line: number;
}

export interface Member {
  readonly name: string;
  readonly pod: DdsPod;
  readonly program: VendorProgram;
}

export class GroupsBed {
  readonly network: DdsNetwork;
  relay!: RelayProcess;
  readonly members = new Map<string, Member>();
  readonly #programs: Programs;
  readonly #publishers: VendorProgram[] = [];
  #controller: Daemon | undefined;
  #agent: Daemon | undefined;

  constructor(prefix: string, programs: Programs) {
    this.#programs = programs;
    this.network = new DdsNetwork(prefix);
    mkdirSync(join(this.network.folder, "namespaces"));
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "planner",
        labels: { "service.kubernetes.io/service-proxy-name": "causeway" },
        annotations: { "k8s.v1.cni.cncf.io/service-network": "default/cell-b" },
      },
      spec: { selector: { app: "planner" }, ports: [{ name: "rtps", protocol: "UDP", port: 7400 }] },
    };
    writeFileSync(join(this.network.folder, "manifests", "service.yaml"), stringify(service));
  }

  async start(
    group: Readonly<Record<string, unknown>> | undefined,
    rest: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    this.group(group, rest);
    this.#controller = await this.#daemon("controller").ready();
    await this.startAgent();
    this.relay = await this.network.addRelay("relay", 1);
  }

  /** What the DiscoveryDomain says of the Service; undefined: nothing. */
  group(group: Readonly<Record<string, unknown>> | undefined, rest: Readonly<Record<string, unknown>> = {}): void {
    const serviceGroups = group === undefined ? [] : [{ service: "planner", ...group }];
    this.network.writeDomain({ serviceGroups, ...rest });
  }

  async startAgent(): Promise<void> {
    this.#agent = await this.#daemon("node", "--pod-namespaces", join(this.network.folder, "namespaces")).ready();
  }

  /** A pod of the Service, with a subscriber. @param how it is found; the relay is its only peer when absent. */
  async addMember(name: string, vendor: Vendor, how: ParticipantOptions = { peer: "10.71.2.1" }): Promise<Member> {
    const pod = this.network.addPod(name, "b");
    writeFileSync(join(this.network.folder, "namespaces", `default_${name}`), `/run/netns/${pod.namespace}`);
    this.network.describePod(name, { labels: { app: "planner" }, isReady: true });
    const program = participant(this.#programs, vendor, pod, { ...how, role: "sub", numbered: 0 });
    const member = { name, pod, program };
    this.members.set(name, member);
    await program.printed("ready");
    return member;
  }

  /** @param number from 1. */
  addPublisher(number: number, vendor: Vendor): void {
    const pod = this.network.addPod(`pub-${number}`, "a");
    const options = { role: "pub", peer: "10.71.1.1", numbered: number } as const;
    this.#publishers.push(participant(this.#programs, vendor, pod, options));
  }

  /** A publisher on the members' own network, who finds them by multicast and asks no relay. */
  stranger(number: number, vendor: Vendor): VendorProgram {
    const pod = this.network.addPod(`stranger-${number}`, "b");
    return participant(this.#programs, vendor, pod, { role: "pub", numbered: number });
  }

  get publishers(): number {
    return this.#publishers.length;
  }

  /** All samples that members have got, or those behind a mark. */
  taken(since: ReadonlyMap<string, number> = new Map()): readonly Taken[] {
    return [...this.members.values()].flatMap(({ name, program }) =>
      program.lines.flatMap((text, line): Taken[] => {
        const [, publisher, number] = /^sample (\d+) (\d+)$/.exec(text) ?? [];
        if (publisher === undefined || number === undefined || line < (since.get(name) ?? 0)) return [];
        return [{ member: name, publisher: Number(publisher), number: Number(number), line }];
      }),
    );
  }

  /** What has come until now. */
  mark(): ReadonlyMap<string, number> {
    return new Map([...this.members.values()].map(({ name, program }) => [name, program.lines.length]));
  }

  /** Members by publisher, of the samples behind a mark. */
  places(since: ReadonlyMap<string, number>): ReadonlyMap<number, ReadonlySet<string>> {
    const places = new Map<number, Set<string>>();
    for (const { member, publisher } of this.taken(since)) {
      places.set(publisher, (places.get(publisher) ?? new Set()).add(member));
    }
    return places;
  }

  /** Samples that two members have got, behind a mark. */
  duplicates(since: ReadonlyMap<string, number>): readonly string[] {
    const seen = new Map<string, string>();
    return this.taken(since).flatMap(({ member, number, publisher }) => {
      const key = `${publisher} ${number}`;
      const other = seen.get(key);
      seen.set(key, member);
      return other === undefined || other === member ? [] : [`sample ${key} at ${other} and ${member}`];
    });
  }

  /** Waits until each publisher has had so many more samples taken. */
  async more(count: number, since = this.mark()): Promise<ReadonlyMap<string, number>> {
    await eventually(`${count} more samples of each of ${this.publishers} publishers`, () => {
      const counts = new Map<number, number>();
      for (const { publisher } of this.taken(since)) counts.set(publisher, (counts.get(publisher) ?? 0) + 1);
      return counts.size === this.publishers && [...counts.values()].every((each) => each >= count);
    });
    return since;
  }

  /** Samples of a publisher between the last at one place and the first at another, as time. */
  gapMs(publisher: number, from: string, since: ReadonlyMap<string, number>): number {
    const samples = this.taken().filter((taken) => taken.publisher === publisher);
    const last = Math.max(...samples.filter(({ member }) => member === from).map(({ number }) => number));
    const next = samples.filter(({ line, member }) => member !== from && line >= (since.get(member) ?? 0));
    return (Math.min(...next.map(({ number }) => number)) - last) * PERIOD_MS;
  }

  /** The group as a relay serves it; without members while it does not. */
  async served(relay = this.relay): Promise<Pick<GroupAnswerGroup, "members" | "clients">> {
    const { body } = await unixRequest(join(relay.runDir, "discovery.sock"), "GET", "/groups", 1_000);
    return groupsAnswerSchema.parse(JSON.parse(body)).domains[0]?.groups[0] ?? { members: [], clients: [] };
  }

  /** What the relay's observer knows. */
  async graph(): Promise<DiscoveryGraph> {
    const { body } = await unixRequest(join(this.relay.runDir, "discovery.sock"), "GET", "/graph", 1_000);
    const [graph] = graphAnswerSchema.parse(JSON.parse(body)).domains;
    if (graph === undefined) throw new Error("nothing is observed");
    return graph;
  }

  /** The member with the most clients. */
  async busiest(): Promise<Member> {
    const { clients } = await this.served();
    const count = (name: string): number => clients.filter(({ member }) => member === `default/${name}`).length;
    const [first] = [...this.members.values()].sort((a, b) => count(b.name) - count(a.name));
    if (first === undefined) throw new Error("no members");
    return first;
  }

  /** The pod's object is there until the end of its grace period. */
  drain(member: Member): void {
    const deletionTimestamp = new Date(Date.now() + 30_000).toISOString();
    this.network.describePod(member.name, { deletionTimestamp });
  }

  setReady(member: Member, isReady: boolean): void {
    this.network.describePod(member.name, { isReady });
  }

  /** The pod's processes and its object are gone at once. */
  async killMember(member: Member): Promise<void> {
    await member.program[Symbol.asyncDispose]();
    this.network.describePod(member.name, { isGone: true });
  }

  /** The member does not hear what the relay says: not that somebody has gone either. */
  deafen(member: Member): void {
    const chain = "add chain ip deaf in { type filter hook input priority -20; }";
    this.#nft(member, ["add table ip deaf", chain, "add rule ip deaf in ip saddr 10.71.2.1 drop"]);
  }

  hearAgain(member: Member): void {
    this.#nft(member, ["delete table ip deaf"]);
  }

  /** As if no node agent had ever been there. */
  async withoutAgent(): Promise<void> {
    await this.#agent?.kill();
    for (const member of this.members.values()) {
      this.#nft(member, ["add table inet causeway-groups", "delete table inet causeway-groups"]);
    }
  }

  #nft(member: Member, commands: readonly string[]): void {
    const input = `${commands.join("\n")}\n`;
    execFileSync("ip", ["netns", "exec", member.pod.namespace, "nft", "-f", "-"], { input });
  }

  async close(): Promise<void> {
    for (const program of this.#publishers) await program[Symbol.asyncDispose]();
    for (const { program } of this.members.values()) await program[Symbol.asyncDispose]();
    await this.#agent?.kill();
    await this.#controller?.kill();
    await this.network.close();
    rmSync(this.network.folder, { recursive: true, force: true });
  }

  #daemon(name: string, ...more: readonly string[]): Daemon {
    const { folder } = this.network;
    const runDir = join(folder, name);
    const folders = ["--manifests", join(folder, "manifests"), "--state", join(folder, "state"), "--run-dir", runDir];
    return new Daemon([name, ...folders, "--log-level", "warn", ...more], join(runDir, `${name}.sock`));
  }
}
