import type { Service, ServicePort } from "../api/core.ts";
import type { HealthCheck } from "../api/health-check.ts";
import type { Condition } from "../api/meta.ts";
import type { Ip } from "../net/ip.ts";
import type { ObjectView } from "../store/object-store.ts";
import { byAge } from "./age.ts";
import { condition, joinMessages } from "./conditions.ts";
import { isOrdinary } from "./targets.ts";

/** A HealthCheck's condition Accepted: whether all that it names is checked by it. */
interface HealthCheckReport {
  readonly check: HealthCheck;
  readonly accepted: Condition;
}

/** Which check each port of each Service has. */
export interface HealthChecks {
  /** The port's own check, else its Service's. */
  of(service: Service, port: ServicePort): HealthCheck | undefined;
  /** In order of age. */
  readonly reports: readonly HealthCheckReport[];
}

/**
 * The port that a check of a Service's port asks: a number, or a port of the Service that each target has at a number of
 * its own. Nothing of either for ICMP.
 */
export interface AskedPort {
  readonly number?: number;
  readonly port?: ServicePort;
}

/** Whether an instance does not reach a target of a Service's port at an address. */
export type IsUnreachable = (service: Service, port: ServicePort, address: Ip) => boolean;

type Reason = "TargetNotFound" | "Conflicted" | "Invalid";

/** @returns undefined when the Service has no port that such a check could ask. */
export function askedPort({ spec }: HealthCheck, service: Service, port: ServicePort): AskedPort | undefined {
  if (spec.type === "ICMP") return {};
  if (spec.port !== undefined) return { number: spec.port };
  const protocol = spec.type === "UDP" ? "UDP" : "TCP";
  // A DNS service, for example: a target that answers over TCP is taken to answer over UDP, too.
  const asked = port.protocol === protocol ? port : service.spec.ports.find((other) => other.protocol === protocol);
  return asked && { port: asked };
}

function keyOf(namespace: string, name: string, sectionName = ""): string {
  return `${namespace}/${name}#${sectionName}`;
}

/** What is wrong with one of a check's references; undefined when it is in force. */
function fault(
  view: ObjectView,
  check: HealthCheck,
  { name, sectionName }: HealthCheck["spec"]["targetRefs"][number],
  owners: Map<string, HealthCheck>,
): { readonly reason: Reason; readonly message: string } | undefined {
  const { namespace } = check.metadata;
  const service = view.get("Service", namespace, name);
  if (service === undefined) {
    return { reason: "TargetNotFound", message: `there is no Service ${name} in namespace ${namespace}` };
  }
  if (isOrdinary(service)) {
    const message = `Service ${name} names no service network: on the primary one the kubelet's own probes tell who is ready`;
    return { reason: "Invalid", message };
  }
  const ports = service.spec.ports.filter((port) => sectionName === undefined || port.name === sectionName);
  if (sectionName !== undefined && ports.length === 0) {
    return { reason: "TargetNotFound", message: `Service ${name} has no port named ${sectionName}` };
  }
  if (!ports.some((port) => askedPort(check, service, port) !== undefined)) {
    const message = `Service ${name} has no port for a check of type ${check.spec.type}: name one in spec.port`;
    return { reason: "Invalid", message };
  }
  const key = keyOf(namespace, name, sectionName);
  const owner = owners.get(key) ?? check;
  owners.set(key, owner);
  if (owner === check) return undefined;
  const what = sectionName === undefined ? `Service ${name}` : `port ${sectionName} of Service ${name}`;
  return {
    reason: "Conflicted",
    message: `${what} is checked by HealthCheck ${owner.metadata.name}, which is older: delete one of the two`,
  };
}

/** Which HealthCheck is in force where: of two for the same Service or port the oldest. Pure. */
export function assignHealthChecks(view: ObjectView): HealthChecks {
  const owners = new Map<string, HealthCheck>();
  const reports = [...view.list("HealthCheck")].sort(byAge).map((check): HealthCheckReport => {
    const faults = check.spec.targetRefs.flatMap((ref) => fault(view, check, ref, owners) ?? []);
    const { generation } = check.metadata;
    const [first] = faults;
    const accepted =
      first === undefined
        ? condition("Accepted", "True", "Accepted", "All targets of what it names are checked.", generation)
        : condition("Accepted", "False", first.reason, joinMessages(faults.map(({ message }) => message)), generation);
    return { check, accepted };
  });
  return {
    of: ({ metadata: { namespace, name } }, port) =>
      (port.name === undefined ? undefined : owners.get(keyOf(namespace, name, port.name))) ??
      owners.get(keyOf(namespace, name)),
    reports,
  };
}
