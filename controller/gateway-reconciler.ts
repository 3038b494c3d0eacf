import type { Service } from "#shared/api/core.ts";
import type { HealthCheck } from "#shared/api/health-check.ts";
import { describeRef, type ObjectRef } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import { CONTROLLER_NAME, GATEWAY_NAME_LABEL } from "#shared/api/names.ts";
import type { Route } from "#shared/api/routes.ts";
import type { Ip } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import { attach, SUPERSEDED_CONDITION } from "#shared/resolve/attach.ts";
import type { Attachments, GatewayAttachment, RouteParentReport } from "#shared/resolve/attachment-types.ts";
import { assignHealthChecks } from "#shared/resolve/health-checks.ts";
import type { ObjectView, StatusOf } from "#shared/store/object-store.ts";
import type { Refusals } from "#shared/store/refusals.ts";
import type { EventRecorder, Note } from "./event-recorder.ts";
import { ForwardingProblems } from "./forwarding-problems.ts";
import {
  gatewayClassStatus,
  gatewayProgrammed,
  gatewayStatus,
  instancesByGateway,
  parametersStatus,
  poolStatus,
  routeStatus,
} from "./gateway-status.ts";
import type { InstanceReconciler } from "./instances/instance-reconciler.ts";
import { peerConditions } from "./peer-status.ts";
import { type AddressPlan, type GatewayAddresses, gatewayKey, planAddresses } from "./plan-addresses.ts";
import type { Problem } from "./problem.ts";
import { currentStatus, refusedStatus } from "./refused-status.ts";
import type { StatusWriter } from "./status-writer.ts";

export interface GatewaySummary {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly Ip[];
  readonly accepted: Condition;
  readonly programmed: Condition;
}

const NOTHING: GatewayAddresses = { addresses: [], problems: [], released: [] };

interface Write {
  readonly ref: ObjectRef;
  readonly status: StatusOf;
  readonly current: unknown;
}

function refOf(object: Route | GatewayAttachment["gateway"] | HealthCheck): ObjectRef {
  return { kind: object.kind, namespace: object.metadata.namespace, name: object.metadata.name };
}

/** What an operator must know. */
interface Trouble {
  readonly ref: ObjectRef;
  readonly reason: string;
  readonly message: string;
}

/** Conditions that say that something is not as it was asked for. */
function troubles(ref: ObjectRef, conditions: readonly Condition[], prefix = ""): Trouble[] {
  return conditions
    .filter(({ type, status }) =>
      type === "Conflicted" || type === SUPERSEDED_CONDITION ? status === "True" : status === "False",
    )
    .map(({ type, reason, message }) => ({ ref, reason, message: `${prefix}${type}: ${reason}: ${message}` }));
}

/** What every Gateway goes through is no event. */
const PASSING = "Pending";

export interface GatewayExtras {
  /** Undefined: somebody else runs instances. */
  readonly instances?: InstanceReconciler | undefined;
  /** Undefined: the store says at the objects' files what it refuses. */
  readonly refusals?: Refusals | undefined;
  readonly events?: EventRecorder | undefined;
}

/** VIPs, and the statuses of GatewayClasses, Gateways, routes, pools, parameters, peers and health checks. All at once: they depend on each other. */
export class GatewayReconciler {
  readonly #view: ObjectView;
  readonly #writer: StatusWriter;
  readonly #log: Log;
  readonly #instances: InstanceReconciler | undefined;
  readonly #refusals: Refusals | undefined;
  readonly #events: EventRecorder | undefined;
  /** What each Gateway was given; its status says the same as soon as the store has caught up. */
  #ledger: ReadonlyMap<string, { readonly uid: string; readonly addresses: readonly Ip[] }> = new Map();
  readonly #instancePods = new Set<string>();
  /** What Services say, but for their statuses: those are written here, and change nothing here. */
  readonly #services = new Map<string, string>();
  readonly #forwarding = new ForwardingProblems();
  #summaries: readonly GatewaySummary[] = [];
  #troubles: readonly Trouble[] = [];

  constructor(view: ObjectView, writer: StatusWriter, log: Log, { instances, refusals, events }: GatewayExtras = {}) {
    this.#events = events;
    this.#instances = instances;
    this.#refusals = refusals;
    this.#view = view;
    this.#writer = writer;
    this.#log = log;
    for (const kind of ["Pod", "Service"] as const) {
      for (const { metadata } of view.list(kind)) this.concerns({ kind, ...metadata });
    }
  }

  get gateways(): readonly GatewaySummary[] {
    return this.#summaries;
  }

  get problems(): readonly Problem[] {
    return this.#troubles.map(({ ref, message }) => ({ object: describeRef(ref), message }));
  }

  /** Whether a change of the object can change anything here. Of the many Pods only the instances' count, of Services all but their statuses. */
  concerns({ kind, namespace, name }: ObjectRef): boolean {
    if (kind === "EndpointSlice" || kind === "DiscoveryDomain") return false;
    const key = `${namespace}/${name}`;
    if (kind === "Service") return this.#serviceChanged(key, this.#view.get("Service", namespace, name));
    if (kind !== "Pod") return true;
    const was = this.#instancePods.delete(key);
    const is = this.#view.get("Pod", namespace, name)?.metadata.labels[GATEWAY_NAME_LABEL] !== undefined;
    if (is) this.#instancePods.add(key);
    return was || is;
  }

  #serviceChanged(key: string, service: Service | undefined): boolean {
    const before = this.#services.get(key);
    if (service === undefined) return this.#services.delete(key);
    const { uid, labels, annotations } = service.metadata;
    const now = JSON.stringify([uid, labels, annotations, service.spec]);
    this.#services.set(key, now);
    return before !== now;
  }

  /** Whether a change of an EndpointSlice can change what instances can do. */
  concernsForwarding({ namespace, name }: ObjectRef): boolean {
    return this.#forwarding.concerns(`${namespace}/${name}`, this.#view.get("EndpointSlice", namespace, name));
  }

  /** Whether what targets there are has changed what instances can do; looked at after changes of EndpointSlices. */
  forwardingChanged(): boolean {
    return this.#forwarding.refresh(attach(this.#view), this.#view.list("EndpointSlice"));
  }

  async reconcile(): Promise<void> {
    const attachments = attach(this.#view);
    this.#forwarding.refresh(attachments, this.#view.list("EndpointSlice"));
    const plan = this.#plan(attachments);
    const made = await this.#instances?.reconcile(attachments.gateways, plan);
    const failures: unknown[] = [...(made?.failures ?? [])];
    const writes = this.#withRefusals([
      ...this.#gatewayWrites(attachments, plan, made?.conditions ?? new Map()),
      ...this.#otherWrites(attachments, plan),
    ]);
    this.#tell();
    for (const { ref, status, current } of writes) {
      try {
        await this.#writer.write(ref, status, current);
      } catch (error) {
        // One object's trouble must not keep the others from their status.
        failures.push(new Error(`writing the status of ${describeRef(ref)}`, { cause: error }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} objects could not be written`);
  }

  #tell(): void {
    const warnings = this.#troubles
      .filter(({ reason }) => reason !== PASSING)
      .map((trouble): Note => ({ ...trouble, type: "Warning" }));
    const programmed = this.#summaries
      .filter((gateway) => gateway.programmed.status === "True")
      .map(({ namespace, name, programmed: { reason, message } }): Note => {
        return { ref: { kind: "Gateway", namespace, name }, type: "Normal", reason, message };
      });
    this.#events?.standing("gateways", [...warnings, ...programmed]);
  }

  #plan({ gateways }: Attachments): AddressPlan {
    const demands = gateways.map(({ gateway, accepted, parameters, vips }) => {
      const given = this.#ledger.get(gatewayKey(gateway));
      const held = given !== undefined && given.uid === gateway.metadata.uid ? given.addresses : vips;
      return { gateway, parameters, accepted: accepted.status === "True", held };
    });
    const plan = planAddresses(demands, this.#view.list("AddressPool"));
    for (const { gateway, held } of demands) {
      const { addresses, released } = plan.gateways.get(gatewayKey(gateway)) ?? NOTHING;
      for (const { address, cause } of released) {
        this.#log.warn({ gateway: gatewayKey(gateway), vip: address, cause }, "VIP taken away");
      }
      const given = addresses.filter((vip) => !held.includes(vip));
      for (const vip of given) this.#log.info({ gateway: gatewayKey(gateway), vip }, "VIP given");
      const ref = refOf(gateway);
      if (given.length > 0) {
        this.#events?.once({ ref, type: "Normal", reason: "VipGiven", message: `VIP ${given.join(", ")} given` });
      }
      if (released.length > 0) {
        const taken = released.map(({ address, cause }) => `VIP ${address} taken away: ${cause}`).join("; ");
        this.#events?.once({ ref, type: "Warning", reason: "VipTaken", message: taken });
      }
    }
    this.#ledger = new Map(
      demands.map(({ gateway }) => [
        gatewayKey(gateway),
        { uid: gateway.metadata.uid, addresses: plan.gateways.get(gatewayKey(gateway))?.addresses ?? [] },
      ]),
    );
    return plan;
  }

  /** What is refused says so in its status, whatever its last good version would say. */
  #withRefusals(writes: readonly Write[]): readonly Write[] {
    const byRef = new Map(writes.map((write) => [describeRef(write.ref), write]));
    const found: Trouble[] = [];
    for (const refusal of this.#refusals?.list() ?? []) {
      const object = describeRef(refusal.ref);
      const status = refusedStatus(this.#view, refusal, byRef.get(object)?.status);
      if (status === undefined) continue;
      byRef.set(object, { ref: refusal.ref, status, current: currentStatus(refusal) });
      found.push({ ref: refusal.ref, reason: "Invalid", message: refusal.message });
    }
    this.#troubles = [...this.#troubles, ...found];
    return [...byRef.values()];
  }

  #gatewayWrites(
    attachments: Attachments,
    plan: AddressPlan,
    deployed: ReadonlyMap<string, Condition>,
  ): readonly Write[] {
    const instances = instancesByGateway(this.#view);
    const summaries: GatewaySummary[] = [];
    const found: Trouble[] = [];
    const writes = attachments.gateways.map((attachment): Write => {
      const { gateway, accepted, listeners } = attachment;
      const key = gatewayKey(gateway);
      const given = plan.gateways.get(key) ?? NOTHING;
      const programmed = gatewayProgrammed(attachment, given, instances.get(key));
      const { namespace, name } = gateway.metadata;
      summaries.push({ namespace, name, addresses: given.addresses, accepted, programmed });
      const ref = refOf(gateway);
      const own = deployed.get(key);
      found.push(...troubles(ref, [accepted, programmed, ...(own === undefined ? [] : [own])]));
      for (const { listener, conditions } of listeners) {
        found.push(...troubles(ref, conditions, `listener ${listener.name}: `));
      }
      return { ref, status: gatewayStatus(attachment, given, programmed, own), current: gateway.status };
    });
    for (const report of attachments.routes) {
      found.push(...troubles(refOf(report.route), this.#forwarding.conditionsOf(report)));
    }
    for (const { check, accepted } of assignHealthChecks(this.#view).reports) {
      found.push(...troubles(refOf(check), [accepted]));
    }
    for (const { pool, unusable } of plan.pools) {
      const ref: ObjectRef = { kind: "AddressPool", namespace: "", name: pool.metadata.name };
      found.push(...unusable.map((message) => ({ ref, reason: "BlocksNotUsable", message })));
    }
    this.#summaries = summaries;
    for (const peer of this.#view.list("BgpPeer")) {
      const ref: ObjectRef = { kind: "BgpPeer", namespace: peer.metadata.namespace, name: peer.metadata.name };
      found.push(...troubles(ref, peerConditions(peer)));
    }
    this.#troubles = found;
    return writes;
  }

  #otherWrites({ gateways, routes }: Attachments, plan: AddressPlan): readonly Write[] {
    const view = this.#view;
    const told = routes.map((report) => ({ ...report, conditions: this.#forwarding.conditionsOf(report) }));
    const reports = Map.groupBy(told, ({ route }: RouteParentReport) => route);
    const allRoutes: readonly Route[] = [...view.list("TCPRoute"), ...view.list("UDPRoute"), ...view.list("FlowRoute")];
    const instances = instancesByGateway(view);
    const users = Map.groupBy(gateways, ({ parameters }) => parameters);
    return [
      ...allRoutes.flatMap((route): Write[] => {
        const status = routeStatus(route, reports.get(route) ?? []);
        return status === undefined ? [] : [{ ref: refOf(route), status, current: route.status }];
      }),
      ...plan.pools.map(
        (usage): Write => ({
          ref: { kind: "AddressPool", namespace: "", name: usage.pool.metadata.name },
          status: poolStatus(usage),
          current: usage.pool.status,
        }),
      ),
      ...assignHealthChecks(view).reports.map(
        ({ check, accepted }): Write => ({
          ref: refOf(check),
          status: { conditions: [accepted] },
          current: check.status,
        }),
      ),
      ...view.list("BgpPeer").map(
        (peer): Write => ({
          ref: { kind: "BgpPeer", namespace: peer.metadata.namespace, name: peer.metadata.name },
          status: { conditions: peerConditions(peer) },
          current: peer.status,
        }),
      ),
      ...view.list("GatewayParameters").map((parameters): Write => {
        const { namespace, name } = parameters.metadata;
        const status = parametersStatus(parameters, users.get(parameters) ?? [], instances);
        return { ref: { kind: "GatewayParameters", namespace, name }, status, current: parameters.status };
      }),
      ...view
        .list("GatewayClass")
        .filter(({ spec }) => spec.controllerName === CONTROLLER_NAME)
        .map((gatewayClass): Write => {
          const ref: ObjectRef = { kind: "GatewayClass", namespace: "", name: gatewayClass.metadata.name };
          return { ref, status: gatewayClassStatus(view, gatewayClass), current: gatewayClass.status };
        }),
    ];
  }
}
