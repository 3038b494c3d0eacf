import { familyOf, type Ip, parseIp } from "#shared/net/ip.ts";
import { LabError } from "../lab-error.ts";
import { TRAFFIC_DEFAULTS } from "./defaults.ts";

export interface TrafficOptions {
  readonly address: Ip;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  /** Exchanges; with `keep` connections held open. Infinity: until `durationMs`. */
  readonly connections: number;
  readonly durationMs?: number;
  /** New exchanges per second at most. */
  readonly rate?: number;
  /** With `keep`: new connections per second beside the held ones. */
  readonly newRate?: number;
  readonly concurrency: number;
  readonly payloadBytes: number;
  readonly keep: boolean;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly source?: Ip;
  readonly json: boolean;
}

const KEEP_DURATION_MS = 10_000;

/** For each destination of `to`, with the other options the same. @throws LabError like `parseTrafficOptions`. */
export function parseTrafficOptionsOfAll(given: Readonly<Record<string, unknown>>): TrafficOptions[] {
  const all = Array.isArray(given.to) ? given.to : [given.to];
  return all.map((to: unknown) => parseTrafficOptions({ ...given, to }));
}

/** @throws LabError naming the option, what it must be, and what it was. */
export function parseTrafficOptions(given: Readonly<Record<string, unknown>>): TrafficOptions {
  const number = (key: string, least: number, most: number): number | undefined => {
    const text = given[key];
    if (text === undefined) return undefined;
    const value = typeof text === "string" && /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new LabError(`--${dashed(key)} ${JSON.stringify(text)} must be a number from ${least} to ${most}`);
  };
  const whole = (key: string, least: number, most: number): number | undefined => {
    const value = number(key, least, most);
    if (value === undefined || Number.isInteger(value)) return value;
    throw new LabError(`--${key} ${value} must be a whole number`);
  };
  const { address, port } = parseDestination(String(given.to));
  const protocol = given.protocol ?? "tcp";
  if (protocol !== "tcp" && protocol !== "udp")
    throw new LabError(`--protocol ${JSON.stringify(protocol)} must be tcp or udp`);
  const keep = given.keep === true;
  const durationS = number("duration", 0.01, 864_000);
  const connections = whole("connections", 1, 10_000_000);
  const durationMs = durationS !== undefined ? durationS * 1000 : keep ? KEEP_DURATION_MS : undefined;
  const rate = number("rate", 0.01, 1_000_000);
  const newRate = number("newRate", 0.01, 100_000);
  if (newRate !== undefined && !keep) throw new LabError("--new-rate needs --keep; without it, use --rate");
  const source = given.source === undefined ? undefined : parseIp(String(given.source));
  if (given.source !== undefined && (source === undefined || familyOf(source) !== familyOf(address))) {
    throw new LabError(`--source ${JSON.stringify(given.source)} must be an address of the family of ${address}`);
  }
  return {
    address,
    port,
    protocol,
    connections:
      connections ?? (durationMs !== undefined && !keep ? Number.POSITIVE_INFINITY : TRAFFIC_DEFAULTS.connections),
    ...(durationMs === undefined ? {} : { durationMs }),
    ...(rate === undefined ? {} : { rate }),
    ...(newRate === undefined ? {} : { newRate }),
    concurrency: whole("concurrency", 1, 20_000) ?? TRAFFIC_DEFAULTS.concurrency,
    payloadBytes: whole("payload", 24, protocol === "udp" ? 65_000 : 65_536) ?? TRAFFIC_DEFAULTS.payloadBytes,
    keep,
    intervalMs: whole("interval", 1, 3_600_000) ?? TRAFFIC_DEFAULTS.intervalMs,
    timeoutMs: whole("timeout", 10, 3_600_000) ?? TRAFFIC_DEFAULTS.timeoutMs,
    retries: whole("retries", 0, 100) ?? TRAFFIC_DEFAULTS.retries,
    ...(source === undefined ? {} : { source }),
    json: given.json === true,
  };
}

const dashed = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function parseDestination(text: string): { address: Ip; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  const address = parseIp(match?.[1] ?? match?.[2] ?? "");
  const port = Number(match?.[3]);
  if (address !== undefined && port >= 1 && port <= 65_535) return { address, port };
  throw new LabError(`--to ${JSON.stringify(text)} must be ADDRESS:PORT, with an IPv6 address as [ADDRESS]:PORT`);
}
