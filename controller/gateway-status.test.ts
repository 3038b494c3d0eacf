import { expect, test } from "vitest";
import { z } from "zod";
import { conditionSchema } from "#shared/api/meta.ts";
import { parseIp } from "#shared/net/ip.ts";
import { attach } from "#shared/resolve/attach.ts";
import { type Manifest, object, viewOf } from "#shared/resolve/objects.fixture.ts";
import {
  gatewayClassStatus,
  gatewayProgrammed,
  gatewayStatus,
  instancesByGateway,
  routeStatus,
} from "./gateway-status.ts";
import { BASE, gateway, instance, route } from "./run-controller.fixture.ts";

const listenersSchema = z.looseObject({
  listeners: z.array(z.looseObject({ conditions: z.array(conditionSchema.partial({ lastTransitionTime: true })) })),
});
const entry = (controllerName: string) => ({ parentRef: { name: "gw" }, controllerName, conditions: [] });
const OURS = "causeway.dev/gateway-controller";
const THEIRS = "example.com/theirs";

function tcpRoute(...controllers: readonly string[]) {
  const found = object({ ...route("r", "2026-01-01T00:00:00Z"), status: { parents: controllers.map(entry) } });
  if (found.kind !== "TCPRoute") throw new TypeError("not a TCPRoute");
  return found;
}

test.each<[string, readonly string[], boolean, readonly string[] | undefined]>([
  ["nothing was said, nothing is to be said", [], false, undefined],
  ["only others speak", [THEIRS], false, undefined],
  ["what is ours goes, theirs stays", [THEIRS, OURS], false, [THEIRS]],
  ["ours comes beside theirs", [THEIRS], true, [THEIRS, OURS]],
  ["ours takes the place of ours", [OURS, THEIRS], true, [THEIRS, OURS]],
])("a route's parents: %s", (_, before, speaks, wanted) => {
  const found = tcpRoute(...before);
  const [parentRef] = found.spec.parentRefs;
  if (parentRef === undefined) throw new Error("no parentRef");
  const status = routeStatus(found, speaks ? [{ route: found, parentRef, conditions: [] }] : []);
  expect(status?.parents).toEqual(wanted?.map((name) => expect.objectContaining({ controllerName: name })));
});

const stuck: Manifest = {
  ...instance("gw", false),
  status: {
    conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "no node has eth9" }],
  },
};

test.each<[string, readonly Manifest[], string]>([
  [
    "no instance",
    [],
    "False Pending: no Pod in namespace infra has the label gateway.networking.k8s.io/gateway-name=gw",
  ],
  ["none ready", [instance("gw", false)], "False Pending: none of 1 instances is ready"],
  ["no node for one", [stuck], "False NoResources: Pod gw-1: no node has eth9"],
  ["another Gateway's", [instance("other", true)], "False Pending: no Pod"],
  [
    "one of two",
    [instance("gw", true), instance("gw", false, "gw-2")],
    "True Programmed: 192.0.2.1 on 1 of 2 instances.",
  ],
])("Programmed: %s", (_, pods, wanted) => {
  const view = viewOf([...BASE, gateway("gw"), ...pods]);
  const [attachment] = attach(view).gateways;
  if (attachment === undefined) throw new Error("no Gateway");
  const given = { addresses: [parseIp("192.0.2.1")].filter((vip) => vip !== undefined), problems: [], released: [] };
  const { status, reason, message } = gatewayProgrammed(attachment, given, instancesByGateway(view).get("infra/gw"));
  expect(`${status} ${reason}: ${message}`).toContain(wanted);
});

test("a class whose parameters are not there is not accepted, by the specification's reason", () => {
  const parametersRef = { group: "causeway.dev", kind: "GatewayParameters", namespace: "infra", name: "net" };
  const status = (ref: object) => {
    const manifest: Manifest = {
      kind: "GatewayClass",
      metadata: { name: "causeway" },
      spec: { controllerName: OURS, parametersRef: ref },
    };
    const found = object(manifest);
    if (found.kind !== "GatewayClass") throw new TypeError("not a GatewayClass");
    return gatewayClassStatus(viewOf(BASE), found).conditions;
  };
  expect(status(parametersRef)).toMatchObject([{ type: "Accepted", status: "True", reason: "Accepted" }]);
  for (const other of [{ name: "none" }, { kind: "ConfigMap" }, { group: "example.com" }, { namespace: "elsewhere" }]) {
    const wanted = [{ type: "Accepted", status: "False", reason: "InvalidParameters" }];
    expect(status({ ...parametersRef, ...other })).toMatchObject(wanted);
  }
});

test("listeners are programmed with their Gateway; one that is not valid is not", () => {
  const listeners = [
    { name: "a", protocol: "TCP", port: 80 },
    { name: "b", protocol: "HTTP", port: 81 },
  ];
  const view = viewOf([...BASE, gateway("gw", { listeners }), instance("gw", true)]);
  const [attachment] = attach(view).gateways;
  if (attachment === undefined) throw new Error("no Gateway");
  const given = { addresses: [parseIp("192.0.2.1")].filter((vip) => vip !== undefined), problems: [], released: [] };
  const said = (instances: ReturnType<typeof instancesByGateway>) => {
    const programmed = gatewayProgrammed(attachment, given, instances.get("infra/gw"));
    const { listeners: written } = listenersSchema.parse(gatewayStatus(attachment, given, programmed, undefined));
    return written.map(({ conditions }) =>
      conditions
        .filter(({ type }) => type === "Programmed")
        .map(({ status, reason }) => `${status} ${reason}`)
        .join(),
    );
  };
  expect(said(instancesByGateway(view))).toEqual(["True Programmed", "False Invalid"]);
  expect(said(new Map())).toEqual(["False Pending", "False Invalid"]);
});
