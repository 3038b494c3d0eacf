import type { ChildProcess } from "node:child_process";
import { z } from "zod";
import { type Broken, type Moved, type TrafficReport, trafficReportSchema } from "../../../lab/traffic/report.ts";
import { at, CAUSEWAY } from "../system-lab.ts";
import { ECHO_PORT } from "../two-tracks.ts";

const VIPS = ["198.51.100.1", "2001:db8:100::1"];
const START_LIMIT_MS = 20_000;

/** Where a client can be started. */
interface Nodes {
  start(node: string, ...command: string[]): ChildProcess;
}

export interface HeldTrafficOptions {
  /** Connections that are held, of both families together. */
  readonly connections: number;
  /** New connections a second beside them, of both families together. */
  readonly newPerSecond: number;
}

/** The load: 1,000 connections, both families. */
const LOAD: HeldTrafficOptions = { connections: 1000, newPerSecond: 100 };

/** A time in which new connections were not served at once: Unix times, in ms, of the first's and the last's beginning. */
export interface Outage {
  readonly fromMs: number;
  readonly toMs: number;
  readonly late: number;
}

/** What the clients saw. */
export interface Seen {
  readonly held: number;
  readonly broken: readonly Broken[];
  readonly moved: readonly Moved[];
  readonly newConnections: number;
  /** Exchanges without an answer, on held and on new connections. */
  readonly lost: number;
  /** Who has answered new connections. */
  readonly newTargets: readonly string[];
  readonly outages: readonly Outage[];
  /** The longest time in which no new connection of a family was answered. */
  readonly longestGapMs: number;
}

/** Held connections of both families to the lab's VIPs, and new ones beside them, until they are stopped. */
export class HeldTraffic {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #output = "";
  #said = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      this.#output += chunk;
    });
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.#said += chunk;
    });
    this.#ended = new Promise((resolve) => child.once("close", resolve));
  }

  /** Resolves when every connection that is to be held has been answered once. */
  static async start(lab: Nodes, { connections, newPerSecond }: HeldTrafficOptions = LOAD): Promise<HeldTraffic> {
    const each = (number: number): string => String(Math.ceil(number / VIPS.length));
    const to = VIPS.flatMap((vip) => ["--to", at(vip, ECHO_PORT)]);
    const load = ["--keep", "--connections", each(connections), "--new-rate", each(newPerSecond)];
    const pace = ["--interval", "500", "--timeout", "5000", "--duration", "600"];
    const traffic = new HeldTraffic(lab.start("client", "sh", CAUSEWAY, "traffic", "--json", ...to, ...load, ...pace));
    await traffic.#held(VIPS.length);
    return traffic;
  }

  #held(families: number): Promise<void> {
    const fault = (what: string) => new Error(`${what}: ${this.#said}${this.#output.slice(0, 2000)}`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#child.kill("SIGTERM");
        reject(fault("not all connections were answered"));
      }, START_LIMIT_MS);
      const check = (): void => {
        if ((this.#said.match(/^holding /gm) ?? []).length < families) return;
        clearTimeout(timer);
        resolve();
      };
      this.#child.stderr?.on("data", check);
      void this.#ended.then(() => reject(fault("the traffic ended before its connections were held")));
      check();
    });
  }

  /** Looks at every connection once more, and ends. */
  async stop(): Promise<Seen> {
    this.#child.kill("SIGTERM");
    await this.#ended;
    if (this.#output.trim() === "") throw new Error(`the traffic ended without a report: ${this.#said}`);
    return seenIn(z.array(trafficReportSchema).parse(JSON.parse(this.#output)));
  }
}

function seenIn(reports: readonly TrafficReport[]): Seen {
  const fresh = reports.filter(({ interruptions }) => interruptions !== undefined);
  const spans = fresh.flatMap(({ interruptions }) => interruptions?.spans ?? []);
  return {
    held: reports.reduce((sum, { held = 0 }) => sum + held, 0),
    broken: reports.flatMap(({ broken = [] }) => broken),
    moved: reports.flatMap(({ moved = [] }) => moved),
    newConnections: fresh.reduce((sum, { sent }) => sum + sent, 0),
    lost: reports.reduce((sum, { lost }) => sum + lost, 0),
    newTargets: [...new Set(fresh.flatMap(({ targets }) => Object.keys(targets)))].sort(),
    outages: joined(spans.map(({ from, to, late }) => ({ fromMs: Date.parse(from), toMs: Date.parse(to), late }))),
    longestGapMs: Math.max(...fresh.map(({ interruptions }) => interruptions?.longestGapMs ?? 0)),
  };
}

/** Outages of the two families that overlap, or are no more than 1 s apart, are one. Pure. */
export function joined(outages: readonly Outage[]): Outage[] {
  const result: Outage[] = [];
  for (const outage of outages.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = result.at(-1);
    if (last === undefined || outage.fromMs - last.toMs > 1000) result.push(outage);
    else result[result.length - 1] = { ...last, toMs: Math.max(last.toMs, outage.toMs), late: last.late + outage.late };
  }
  return result;
}

/** How long new connections were not served, in ms: the longest outage; 0 when all were served at once. */
export const outageMs = ({ outages }: Seen): number => Math.max(0, ...outages.map(({ fromMs, toMs }) => toMs - fromMs));
