import type { EndpointSlice, Service, ServicePort } from "#shared/api/core.ts";
import { DEFAULT_UDP_PAYLOAD, type HealthCheck } from "#shared/api/health-check.ts";
import { shortHash } from "#shared/balance/stable-hash.ts";
import { FAMILIES, type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import type { GatewayAttachment } from "#shared/resolve/attachment-types.ts";
import { askedPort, type HealthChecks } from "#shared/resolve/health-checks.ts";
import { indexSlices, type SliceIndex, serviceNetwork, type Target, targetsOf } from "#shared/resolve/targets.ts";
import type { ProbeSpec } from "./probe-spec.ts";

/** A probe, and whom it is for. */
export interface PlannedProbe extends ProbeSpec {
  /** `namespace/name` of the pod, or the address where no pod is named. */
  readonly target: string;
  /** `namespace/name` of the service network. */
  readonly network: string;
  /** `namespace/name` of the HealthChecks that want it. */
  readonly checks: readonly string[];
  /** What its outcome decides: targets of Services' ports, as {@link useOf} names them. */
  readonly uses: readonly string[];
}

/** The time limit of a check that names none: this part of its interval, but not for ever. */
const DEFAULT_TIMEOUT = { share: 0.75, mostMs: 1_000 };

const named = ({ metadata: { namespace, name } }: Service | HealthCheck): string => `${namespace}/${name}`;

/** Names a Service's port. */
function portKey(service: Service, { protocol, port }: ServicePort): string {
  return `${named(service)}:${protocol}/${port}`;
}

/** Names a target of a Service's port. */
export function useOf(service: Service, port: ServicePort, address: Ip): string {
  return `${portKey(service, port)} ${address}`;
}

function httpRequest({ http }: HealthCheck["spec"], address: Ip, port: number): string {
  const own = familyOf(address) === 4 ? address : `[${address}]`;
  const host = http?.host ?? (port === 80 ? own : `${own}:${port}`);
  const head = `GET ${http?.path ?? "/"} HTTP/1.1\r\nHost: ${host}\r\n`;
  return `${head}User-Agent: causeway-health-check\r\nAccept: */*\r\nConnection: close\r\n\r\n`;
}

function question({ spec }: HealthCheck, address: Ip, port: number): Pick<ProbeSpec, "payload" | "answer"> {
  if (spec.type === "HTTP") return { payload: httpRequest(spec, address, port), answer: "" };
  if (spec.type === "UDP") return { payload: spec.udp?.payload ?? DEFAULT_UDP_PAYLOAD, answer: spec.udp?.answer ?? "" };
  return { payload: "", answer: "" };
}

function probeOf(
  { spec }: HealthCheck,
  where: Pick<ProbeSpec, "address" | "interface" | "port" | "leaving" | "payload" | "answer">,
): ProbeSpec {
  const { failureThreshold, intervalMs, successThreshold, type } = spec;
  const timeoutMs = spec.timeoutMs ?? Math.floor(Math.min(intervalMs * DEFAULT_TIMEOUT.share, DEFAULT_TIMEOUT.mostMs));
  const { address, answer, interface: device, leaving, payload, port } = where;
  const pace = [intervalMs, timeoutMs, failureThreshold, successThreshold].join("/");
  const text = shortHash(JSON.stringify([payload, answer]));
  const id = [device, address, type, port, pace, text, leaving ? "leaving" : "staying"].join(" ");
  return { ...where, id, type, intervalMs, timeoutMs, failureThreshold, successThreshold };
}

/** Networks' names to the instances' interfaces. */
function interfacesOf({ parameters }: GatewayAttachment): ReadonlyMap<string, string> {
  const { metadata, spec } = parameters ?? {};
  return new Map(
    (spec?.serviceNetworks ?? []).map(({ network, interface: device }) => [
      network.includes("/") ? network : `${metadata?.namespace}/${network}`,
      device,
    ]),
  );
}

class Planner {
  readonly #slices: SliceIndex;
  readonly #probes = new Map<string, PlannedProbe>();

  constructor(slices: readonly EndpointSlice[]) {
    this.#slices = indexSlices(slices);
  }

  get probes(): readonly PlannedProbe[] {
    return [...this.#probes.values()];
  }

  addPort(check: HealthCheck, service: Service, port: ServicePort, network: string, device: string): void {
    const asked = askedPort(check, service, port);
    if (asked === undefined) return;
    for (const family of FAMILIES) {
      const numbers = this.#numbers(service, family, asked.port ?? port);
      for (const { identity, address, state } of this.#targets(service, family, port)) {
        const number = check.spec.type === "ICMP" ? 0 : (asked.number ?? numbers.get(identity));
        // The slices do not tell where it listens.
        if (number === undefined) continue;
        const leaving = state !== "ready";
        const where = { address, interface: device, port: number, leaving, ...question(check, address, number) };
        this.#add(probeOf(check, where), { target: identity, network }, named(check), useOf(service, port, address));
      }
    }
  }

  #targets(service: Service, family: Family, { name = "", protocol }: ServicePort): readonly Target[] {
    return targetsOf(this.#slices.of(service), family, { name, protocol });
  }

  #numbers(service: Service, family: Family, port: ServicePort): ReadonlyMap<string, number | undefined> {
    return new Map(this.#targets(service, family, port).map((target) => [target.identity, target.port]));
  }

  /** The same question to the same address is asked once, whoever wants to know. */
  #add(probe: ProbeSpec, whom: Pick<PlannedProbe, "target" | "network">, check: string, use: string): void {
    const { checks = [], uses = [] } = this.#probes.get(probe.id) ?? {};
    this.#probes.set(probe.id, {
      ...probe,
      ...whom,
      checks: checks.includes(check) ? checks : [...checks, check],
      uses: uses.includes(use) ? uses : [...uses, use],
    });
  }
}

/**
 * What an instance of these Gateways asks, of every target that has a HealthCheck and that packets may be sent to. Pure.
 */
export function planProbes(
  gateways: readonly GatewayAttachment[],
  slices: readonly EndpointSlice[],
  checks: HealthChecks,
): readonly PlannedProbe[] {
  if (checks.reports.length === 0) return [];
  const planner = new Planner(slices);
  for (const gateway of gateways) {
    const interfaces = interfacesOf(gateway);
    const seen = new Set<string>();
    for (const { service, port } of gateway.routes.flatMap((route) => route.backends)) {
      const check = checks.of(service, port);
      const network = serviceNetwork(service)?.network;
      const device = network === undefined ? undefined : interfaces.get(network);
      if (check === undefined || network === undefined || device === undefined) continue;
      if (seen.has(portKey(service, port))) continue;
      seen.add(portKey(service, port));
      planner.addPort(check, service, port, network, device);
    }
  }
  return planner.probes;
}
