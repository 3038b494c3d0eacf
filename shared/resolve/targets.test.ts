import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EndpointSlice, Service } from "../api/core.ts";
import { isKind } from "../api/kinds.ts";
import { type Manifest, object } from "./objects.fixture.ts";
import { indexSlices, serviceNetwork, targetsOf } from "./targets.ts";

function parsed(manifest: Manifest): EndpointSlice {
  const slice = object(manifest);
  if (!isKind(slice.kind) || slice.kind !== "EndpointSlice") throw new TypeError("not an EndpointSlice");
  return slice;
}

interface Wish {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly family?: 4 | 6;
  readonly ports?: readonly unknown[];
  readonly endpoints: readonly unknown[];
}
const slice = ({ name = "s", labels = {}, family = 4, ports = [{ port: 80 }], endpoints }: Wish): EndpointSlice =>
  parsed({
    kind: "EndpointSlice",
    metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": "web", ...labels } },
    addressType: `IPv${family}`,
    ports,
    endpoints,
  });
function serviceOf(manifest: Manifest): Service {
  const made = object(manifest);
  if (!isKind(made.kind) || made.kind !== "Service") throw new TypeError("not a Service");
  return made;
}
const endpoint = (pod: string | undefined, address: string, more: object = {}): unknown => ({
  addresses: [address],
  ...(pod === undefined ? {} : { targetRef: { kind: "Pod", namespace: "default", name: pod } }),
  ...more,
});
const PORT = { name: "", protocol: "TCP" } as const;
const brief = (slices: readonly EndpointSlice[], family: 4 | 6 = 4) =>
  targetsOf(slices, family, PORT).map(
    ({ identity, address, port, state }) => `${identity} ${address} ${port}${state === "ready" ? "" : ` ${state}`}`,
  );

describe("targets", () => {
  it("are the endpoints of the family, one for each pod, in the order of their identity", () => {
    const slices = [
      slice({
        endpoints: [
          endpoint("b", "10.0.0.2", { conditions: { ready: true } }),
          endpoint("a", "10.0.0.3"),
          endpoint("c", "10.0.0.4", { conditions: { ready: false } }),
          endpoint("d", "10.0.0.5", { conditions: { ready: false, serving: true, terminating: true } }),
          endpoint("e", "10.0.0.6", { conditions: { ready: false, serving: false, terminating: true } }),
          endpoint(undefined, "10.0.0.9"),
        ],
      }),
      slice({ family: 6, endpoints: [endpoint("a", "fd00::1")] }),
    ];
    expect(brief(slices)).toEqual([
      "10.0.0.9 10.0.0.9 80",
      "default/a 10.0.0.3 80",
      "default/b 10.0.0.2 80",
      "default/c 10.0.0.4 80 unready",
      "default/d 10.0.0.5 80 terminating",
      "default/e 10.0.0.6 80 unready",
    ]);
    expect(brief(slices, 6)).toEqual(["default/a fd00::1 80"]);
  });

  it("of a pod in several slices have the address that comes with the port, then the lower one", () => {
    const elsewhere = slice({ ports: [{ name: "other", port: 1 }], endpoints: [endpoint("a", "10.0.0.1")] });
    const here = slice({ endpoints: [endpoint("a", "10.0.0.7")] });
    const higher = slice({ endpoints: [endpoint("a", "10.0.0.8")] });
    expect(brief([elsewhere])).toEqual(["default/a 10.0.0.1 undefined"]);
    for (const slices of [
      [elsewhere, higher, here],
      [here, elsewhere, higher],
      [higher, here, elsewhere],
    ]) {
      expect(brief(slices)).toEqual(["default/a 10.0.0.7 80"]);
    }
  });

  it("do not depend on the order of slices and endpoints", () => {
    const one = fc.record({
      pod: fc.option(fc.constantFrom("a", "b", "c"), { nil: undefined }),
      last: fc.integer({ min: 1, max: 12 }),
      ready: fc.boolean(),
    });
    const wish = fc.record({
      ports: fc.constantFrom([{ port: 80 }], [{ port: 81 }], [{ name: "x", port: 1 }], [{ port: 80, protocol: "UDP" }]),
      endpoints: fc.array(one, { maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 4 }), (wishes) => {
        const build = (list: typeof wishes, turn: boolean): EndpointSlice[] =>
          list.map(({ ports, endpoints }) => {
            const all = endpoints.map(({ pod, last, ready }) => {
              return endpoint(pod, `10.0.0.${last}`, { conditions: { ready } });
            });
            return slice({ ports, endpoints: turn ? all.reverse() : all });
          });
        const found = targetsOf(build(wishes, false), 4, PORT);
        expect(new Set(found.map(({ identity }) => identity)).size).toBe(found.length);
        // Two slices that tell different ports of one address are no answer to which is right.
        const addresses = (targets: typeof found) => targets.map(({ identity, address }) => `${identity} ${address}`);
        expect(addresses(targetsOf(build([...wishes].reverse(), true), 4, PORT))).toEqual(addresses(found));
      }),
      { numRuns: 100 },
    );
  });

  it("are looked up by Service: the built-in controller's, which hold primary addresses, are ordinary Services' only; ours are not", () => {
    const own = slice({ name: "own", endpoints: [] });
    const builtIn = slice({
      name: "built-in",
      labels: { "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" },
      endpoints: [endpoint("a", "10.244.0.1")],
    });
    const orphan = parsed({
      kind: "EndpointSlice",
      metadata: { name: "orphan", namespace: "default" },
      addressType: "IPv4",
      ports: [],
      endpoints: [],
    });
    const ours = slice({
      name: "ours",
      labels: { "endpointslice.kubernetes.io/managed-by": "causeway.dev" },
      endpoints: [endpoint("a", "10.1.0.1")],
    });
    const index = indexSlices([builtIn, own, ours, orphan]);
    const service = (annotations: object): Service => {
      const metadata = { name: "web", namespace: "default", annotations };
      return serviceOf({ kind: "Service", metadata, spec: { ports: [{ port: 80 }] } });
    };
    expect(index.of(service({ "k8s.v1.cni.cncf.io/service-network": "svc-net" }))).toEqual([own, ours]);
    expect(index.of(service({ "k8s.v1.cni.cncf.io/service-network": "Not A Name" }))).toEqual([own, ours]);
    expect(index.of(service({}))).toEqual([builtIn, own]);
  });
});

describe("the service network", () => {
  const of = (annotation: string | undefined) => {
    const annotations = annotation === undefined ? {} : { "k8s.v1.cni.cncf.io/service-network": annotation };
    const metadata = { name: "web", namespace: "default", annotations };
    return serviceNetwork(serviceOf({ kind: "Service", metadata, spec: { ports: [{ port: 80 }] } }));
  };

  it.each([
    [undefined, undefined],
    ["svc", { network: "default/svc", interface: undefined }],
    [" infra/svc.a@net1 ", { network: "infra/svc.a", interface: "net1" }],
    ["", null],
    ["a/b/c", null],
    ["Svc", null],
    ["svc@", null],
    ["svc@sixteen-letters0", null],
    ["svc@a b", null],
  ])("%j", (annotation, expected) => {
    expect(of(annotation)).toEqual(expected);
  });
});
