import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import pino from "pino";
import type { HealthCheck } from "#shared/api/health-check.ts";
import type { Protocol } from "#shared/api/routes.ts";
import { type Endpoint, endpointText, parseEndpoint } from "#shared/net/endpoint.ts";
import { familyOf, type Ip } from "#shared/net/ip.ts";
import { systemClock } from "#shared/process/clock.ts";
import { openStore } from "#shared/process/open-store.ts";
import { ATTACH_KINDS, attach } from "#shared/resolve/attach.ts";
import { resolveIntent } from "#shared/resolve/intent.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { type Location, locate, type Packet } from "#shared/resolve/locate.ts";
import { isPrimary } from "#shared/resolve/primary-network.ts";
import { builtInSlices, ordinaryServices, SLICES_THAT_COUNT } from "#shared/resolve/slice-interest.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import type { Interest } from "#shared/store/object-store.ts";
import { labFolder } from "../lab/lab-folder.ts";
import { askInstances, exception, type InstanceAnswer } from "./ask-instances.ts";
import { type Unreached, unreachedBy } from "./unreached.ts";

export interface ExplainOptions {
  readonly from: string;
  readonly to: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly manifests?: string;
  readonly state?: string;
  readonly kubeconfig?: string;
  readonly lab: string;
  /** Run folders of instances to be asked; those of the lab when absent. */
  readonly runDir?: readonly string[];
  readonly json?: boolean;
}

/** The question cannot be answered as it was put. */
class QuestionError extends Error {
  override readonly name = "QuestionError";
}

function endpoint(option: string, text: string): Endpoint {
  const found = parseEndpoint(text);
  if (found !== undefined) return found;
  throw new QuestionError(
    `${option} ${JSON.stringify(text)} must be ADDRESS:PORT, for example 192.0.2.1:40000 or [2001:db8::1]:40000`,
  );
}

const PROTOCOL: Readonly<Record<ExplainOptions["protocol"], Protocol>> = { tcp: "TCP", udp: "UDP", sctp: "SCTP" };

/** @returns the exit status. */
export async function runExplain(options: ExplainOptions, print: (text: string) => void): Promise<number> {
  try {
    const packet = question(options);
    const { intents, checks } = await readObjects(options);
    const answers = intents.filter((intent) => intent.vips.includes(packet.destination));
    const answer = answers.map((intent): Answer => {
      const location = locate(intent, packet);
      if (location.kind !== "target") return { intent, location, unreached: [] };
      const address = location.leg.addresses[familyOf(packet.destination)];
      return { intent, location, unreached: unreachedBy(checks, location.flow.services, address) };
    });
    const found = answer.find(({ location }) => location.kind === "target") ?? answer[0];
    const instances = await askInstances(packet, instanceFolders(options));
    print(
      options.json
        ? `${JSON.stringify(asJson(packet, found, instances), null, 2)}\n`
        : asText(packet, found, instances),
    );
    return found?.location.kind === "target" ? 0 : 1;
  } catch (error) {
    if (!(error instanceof QuestionError)) throw error;
    process.stderr.write(`causeway explain: ${error.message}\n`);
    return 2;
  }
}

function question({ from, to, protocol }: ExplainOptions): Packet {
  const source = endpoint("--from", from);
  const destination = endpoint("--to", to);
  if (familyOf(source.address) !== familyOf(destination.address)) {
    throw new QuestionError(
      `--from ${source.address} and --to ${destination.address} are of different address families`,
    );
  }
  return {
    source: source.address,
    destination: destination.address,
    sourcePort: source.port,
    destinationPort: destination.port,
    protocol: PROTOCOL[protocol],
  };
}

/** In a lab each node of a gateway has a run folder of its own. */
function instanceFolders({ runDir, lab, manifests, kubeconfig }: ExplainOptions): readonly string[] {
  if (runDir !== undefined) return runDir;
  if (manifests !== undefined || kubeconfig !== undefined) return [];
  const { runs } = labFolder(lab);
  return existsSync(runs) ? readdirSync(runs).map((node) => join(runs, node)) : [];
}

async function readObjects(
  options: ExplainOptions,
): Promise<{ readonly intents: readonly Intent[]; readonly checks: readonly HealthCheck[] }> {
  const { manifests, state, kubeconfig } = options;
  if ((manifests === undefined) !== (state === undefined) || (manifests !== undefined && kubeconfig !== undefined)) {
    throw new QuestionError("give --manifests and --state together, or --kubeconfig, or --lab");
  }
  const folder = labFolder(options.lab);
  const close = new AbortController();
  try {
    const { store } = await openStore({
      ...(kubeconfig === undefined
        ? { manifests: manifests ?? folder.manifests, state: state ?? folder.state }
        : { kubeconfig }),
      name: "explain",
      log: pino({ level: kubeconfig === undefined ? "silent" : "warn" }, pino.destination(2)),
      clock: systemClock,
      signal: close.signal,
      env: process.env,
    });
    const interests: Interest[] = [
      ...ATTACH_KINDS.map((kind) => ({ kind })),
      SLICES_THAT_COUNT,
      { kind: "HealthCheck" },
    ];
    const view = await store.watch(interests, () => undefined, close.signal);
    const attachments = attach(view);
    const names = ordinaryServices(attachments.gateways);
    const builtIn =
      names.length === 0 ? undefined : await store.watch(builtInSlices(names), () => undefined, close.signal);
    const slices = [...view.list("EndpointSlice"), ...(builtIn?.list("EndpointSlice") ?? [])];
    const intents = attachments.gateways.flatMap(({ gateway }) => {
      return resolveIntent(attachments, slices, gateway.metadata, new TableCache()) ?? [];
    });
    return { intents, checks: view.list("HealthCheck") };
  } finally {
    close.abort();
  }
}

interface Answer {
  readonly intent: Intent;
  readonly location: Location;
  /** Instances that do not reach the target: the slot has another owner there. */
  readonly unreached: readonly Unreached[];
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, "0")}`;

function asJson(packet: Packet, answer: Answer | undefined, instances: readonly InstanceAnswer[]): unknown {
  if (answer === undefined) return { packet, result: "not-a-vip" };
  const { intent, location, unreached } = answer;
  return {
    packet,
    result: location.kind,
    gateway: intent.gateway,
    ...("flow" in location
      ? { route: location.flow.route, flow: location.flow.key, services: location.flow.services }
      : {}),
    ...("slot" in location
      ? {
          hash: hex(location.hash),
          fields: location.flow.hash,
          slot: location.slot,
          tableSize: location.table.size,
          table: location.table.name,
        }
      : {}),
    ...(location.kind === "target"
      ? {
          target: location.leg.target,
          address: location.leg.addresses[familyOf(packet.destination)],
          ...(location.leg.port === undefined ? {} : { port: location.leg.port }),
          network: location.leg.network,
          interface: location.leg.interface,
          mode: isPrimary(location.leg) ? "tracked" : intent.mode,
          unreached,
        }
      : {}),
    instances,
  };
}

const at = (address: Ip, port: number): string => endpointText({ address, port });

function asText(packet: Packet, answer: Answer | undefined, instances: readonly InstanceAnswer[]): string {
  const lines: [string, string][] = [
    [
      "flow",
      `${packet.protocol} ${at(packet.source, packet.sourcePort)} -> ${at(packet.destination, packet.destinationPort)}`,
    ],
  ];
  if (answer === undefined) {
    lines.push(["result", `${packet.destination} is not a VIP of any Gateway: it is not attracted and not balanced`]);
  } else {
    lines.push(["gateway", answer.intent.gateway], ...explanation(packet, answer));
    lines.push(...instances.flatMap((instance) => exception(instance)));
  }
  return lines.map(([name, value]) => `${`${name}:`.padEnd(10)}${value}\n`).join("");
}

/** Of an ordinary Service, the objects tell where connections begin. */
const BEGINNING: [string, string] = [
  "tracked",
  "so for a connection that begins; one that exists stays where the instance that tracks it sends it",
];

function explanation(packet: Packet, { intent, location, unreached }: Answer): [string, string][] {
  if (location.kind === "not-a-vip") return [["result", `${packet.destination} is not a VIP of this Gateway`]];
  if (location.kind === "unmatched") {
    return [["result", "no listener with a route, and no FlowRoute, takes it: dropped, counted as unmatched"]];
  }
  const { flow } = location;
  const how = flow.stage === "exact" ? "by VIP, protocol and port" : `FlowRoute of priority ${flow.priority}`;
  const lines: [string, string][] = [
    ["route", `${flow.route.kind} ${flow.route.namespace}/${flow.route.name} (${how})`],
    ["service", flow.services.join(", ")],
  ];
  if (location.kind === "no-target") return [...lines, ["result", "no target is ready: dropped, counted as no-target"]];
  const fields = flow.hash === "tuple" ? "addresses and ports" : "source address (session affinity)";
  lines.push(
    ["hash", `${hex(location.hash)} of ${fields}`],
    ["slot", `${location.slot} of ${location.table.size} in ${location.table.name}`],
  );
  if (location.kind === "refused")
    return [...lines, ["result", "the slot belongs to a backend that does not resolve: refused"]];
  const address = location.leg.addresses[familyOf(packet.destination)];
  const primary = isPrimary(location.leg);
  const translated =
    address === undefined ? "" : `destination becomes ${at(address, location.leg.port ?? packet.destinationPort)}`;
  const rewritten = primary
    ? `tracked: ${translated}, source the instance's own address`
    : intent.mode === "NAT"
      ? `NAT: ${translated}`
      : "DSR: the packet is not rewritten";
  return [
    ...lines,
    ["target", `${location.leg.target} at ${address} on ${primary ? "the " : ""}${location.leg.network}`],
    ...(primary ? [BEGINNING] : []),
    ...unreached.map(({ instance, message }): [string, string] => [
      "health",
      `${instance} does not reach it (${message}): the slot has another owner there`,
    ]),
    ["path", `any instance of ${intent.gateway} -> ${location.leg.interface} -> ${address} (${rewritten})`],
  ];
}
