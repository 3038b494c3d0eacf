import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { brokenManifests, validManifests } from "../store/broken-manifests.fixture.ts";
import { CRD_KINDS, type CrdKind, crdSchema, refusedInStatus } from "./crd.ts";
import { KINDS } from "./kinds.ts";
import { admitted, isFields, openApiSchema } from "./structural-schema.fixture.ts";

/*
 * The CustomResourceDefinitions and the schemas that the product parses with refuse the same objects. What the former
 * let through is on a list, and on no object beyond it do the two drift apart.
 */

const SCHEMAS = new Map(CRD_KINDS.map((kind) => [kind, openApiSchema.parse(crdSchema(kind))]));
const isCrdKind = (kind: unknown): kind is CrdKind => CRD_KINDS.some((one) => one === kind);

/** `spec.a[0].b` as `spec.a[].b`. */
function fieldOf(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? "[]" : `.${String(part)}`))
    .join("")
    .slice(1);
}

/** What is on the list looks like this, and nothing else does: the item of a list, or the list that holds it. */
const SLIPS: Readonly<Record<string, (item: unknown, list: unknown) => boolean>> = {
  "AddressPool spec.addresses[]": (_, list) => Array.isArray(list) && list.some((block) => String(block).includes("-")),
  "FlowRoute spec.match.destinationPorts[]": runsBackwards,
  "FlowRoute spec.match.sourcePorts[]": runsBackwards,
  "DiscoveryDomain spec.domains[]": runsBackwards,
  "DiscoveryDomain spec.fanOut.domains[]": runsBackwards,
};

function runsBackwards(range: unknown): boolean {
  const [from = Number.NaN, to = Number.NaN] = String(range).split("-").map(Number);
  return from > to;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => {
    if (Array.isArray(at) && typeof key === "number") return at[key];
    return isFields(at) ? at[String(key)] : undefined;
  }, value);
}

/** What an API server says of an object, and what the product's schema says of what is left of it. */
function verdict(kind: CrdKind, value: unknown) {
  const { object, faults, broken } = admitted(SCHEMAS.get(kind) ?? {}, value);
  const parsed = KINDS[kind].schema.safeParse(object);
  const issues = parsed.success ? [] : parsed.error.issues;
  const undocumented = issues.filter(({ path }) => {
    const slip = SLIPS[`${kind} ${fieldOf(path)}`];
    return slip === undefined || !slip(valueAt(object, path), valueAt(object, path.slice(0, -1)));
  });
  return { said: [...faults, ...broken], parsed, object, issues, undocumented };
}

const ours = (text: string) => {
  const value: unknown = parse(text);
  return isFields(value) && isCrdKind(value.kind) ? [{ kind: value.kind, value }] : [];
};

const least = {
  GatewayParameters: {
    externalNetworks: [{ interface: "a" }],
    serviceNetworks: [{ network: "n", interface: "b" }],
  },
  AddressPool: { addresses: ["192.0.2.0/24"], gatewaySelector: {} },
  BgpPeer: { address: "192.0.2.1", asn: 1, localAsn: 2, password: { secretRef: { name: "s" } } },
  FlowRoute: { parentRefs: [{ name: "gw" }], backendRefs: [{ name: "web" }] },
  HealthCheck: { targetRefs: [{ name: "web" }] },
  DiscoveryDomain: { networks: [{ network: "n", interface: "a" }] },
  Topic: { topic: "t", type: "T", types: { file: "/t.xml" }, service: { name: "s", port: 1 } },
};

const valid = validManifests("lab").flatMap(ours);

describe("agreement with the schemas that the product parses with", () => {
  test("valid manifests are admitted, and defaults are the same", () => {
    expect(valid).toHaveLength(CRD_KINDS.length);
    for (const { kind, value } of valid) {
      const { said, object } = verdict(kind, value);
      expect(said).toEqual([]);
      expect(KINDS[kind].schema.parse(object)).toEqual(KINDS[kind].schema.parse(value));
    }
  });

  test("the least that can be written gets the defaults that the schemas give", () => {
    for (const kind of CRD_KINDS) {
      const value = { apiVersion: "causeway.dev/v1alpha1", kind, metadata: { name: "x" }, spec: least[kind] };
      const { said, object } = verdict(kind, value);
      expect(said).toEqual([]);
      const parsed = KINDS[kind].schema.parse(value);
      expect(KINDS[kind].schema.parse(object)).toEqual(parsed);
      // Nothing but transformed values differs between what is stored and what is read.
      const keys = isFields(object) && isFields(object.spec) ? Object.keys(object.spec).sort() : [];
      expect(keys).toEqual(Object.keys(parsed.spec).sort());
    }
  });

  test("broken manifests are refused, cleared of what is unknown, or let through as documented", () => {
    const slipped: string[] = [];
    let refused = 0;
    for (const { text, fault } of brokenManifests("lab")) {
      for (const { kind, value } of ours(text)) {
        // Another version has no resource that it could be sent to.
        if (value.apiVersion !== "causeway.dev/v1alpha1") continue;
        const { said, undocumented, issues } = verdict(kind, value);
        if (said.length > 0) {
          refused += 1;
          continue;
        }
        expect(undocumented, `${kind}: ${fault}`).toEqual([]);
        if (issues.length > 0) slipped.push(`${kind}: ${fault}`);
        else expect(fault).toMatch(/^unknown /);
      }
    }
    expect(refused).toBeGreaterThan(150);
    expect(slipped).toEqual([
      'AddressPool: spec.addresses[1] is "198.51.100.70-198.51.100.64"',
      'FlowRoute: spec.match.destinationPorts[0] is "5999-5000"',
      'DiscoveryDomain: spec.domains[1] is "19-10"',
    ]);
  });

  test("each thing that is documented as let through is let through, and refused by the schema", () => {
    const examples: Readonly<Record<string, readonly [CrdKind, Record<string, unknown>]>> = {
      "a range of addresses that runs backwards": ["AddressPool", { addresses: ["192.0.2.9-192.0.2.1"] }],
      "a range that overlaps a prefix or a range of the same pool": [
        "AddressPool",
        { addresses: ["192.0.2.0/24", "192.0.2.1-192.0.2.9"] },
      ],
      "a range of ports that runs backwards": [
        "FlowRoute",
        {
          parentRefs: [{ name: "gw" }],
          backendRefs: [{ name: "web" }],
          match: { destinationPorts: ["9-1"], sourcePorts: ["9-1"] },
        },
      ],
      "a range of domains that runs backwards": ["DiscoveryDomain", { ...least.DiscoveryDomain, domains: ["9-1"] }],
    };
    const documented = refusedInStatus();
    expect(new Set(documented.map(({ what }) => what))).toEqual(new Set(Object.keys(examples)));
    expect(new Set(documented.map(({ kind, field }) => `${kind} ${field}`))).toEqual(new Set(Object.keys(SLIPS)));
    for (const [what, [kind, spec]] of Object.entries(examples)) {
      const { said, issues, undocumented } = verdict(kind, {
        apiVersion: "causeway.dev/v1alpha1",
        kind,
        metadata: { name: "x" },
        spec,
      });
      expect(said, what).toEqual([]);
      expect(undocumented, what).toEqual([]);
      expect(issues.length, what).toBeGreaterThan(0);
    }
  });

  test("whatever is put where: what one admits and the other refuses is documented", () => {
    for (const { kind, value } of valid) {
      const sites = [...leavesOf(value.spec, ["spec"])];
      let admittedCount = 0;
      let refusedCount = 0;
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.constantFrom(...sites), replacement), { minLength: 1, maxLength: 2 }),
          (changes) => {
            const changed = changes.reduce<unknown>((at, [site, by]) => replaced(at, site, by), value);
            const { said, parsed, undocumented } = verdict(kind, changed);
            if (said.length === 0) {
              admittedCount += 1;
              expect(undocumented, JSON.stringify(changed)).toEqual([]);
            } else {
              refusedCount += 1;
              expect(parsed.success, `${said.join("; ")} ${JSON.stringify(changed)}`).toBe(false);
            }
          },
        ),
        { numRuns: 600 },
      );
      expect(Math.min(admittedCount, refusedCount)).toBeGreaterThan(10);
    }
  });
});

type Site = readonly (string | number)[];

/** Every place of a value, its own root aside. */
function* leavesOf(value: unknown, at: Site): Generator<Site> {
  if (at.length > 1) yield at;
  if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* leavesOf(item, [...at, index]);
  else if (isFields(value)) for (const [name, field] of Object.entries(value)) yield* leavesOf(field, [...at, name]);
}

function replaced(value: unknown, [first, ...rest]: Site, by: unknown): unknown {
  if (first === undefined) return by;
  if (Array.isArray(value)) return value.map((item, index) => (index === first ? replaced(item, rest, by) : item));
  if (!isFields(value) || !Object.hasOwn(value, first)) return value;
  return { ...value, [first]: replaced(value[first], rest, by) };
}

const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6().filter((text) => !text.includes(".")),
  fc.constantFrom(
    "::",
    "0.0.0.0",
    "192.0.2.01",
    "1.2.3",
    "::ffff:1.2.3.4",
    "::1.2.3.4",
    "64:ff9b::1.2.3.4",
    "::FFFF:102:304",
    "fe80::1%eth0",
    "1::2::3",
  ),
);
const prefix = fc.tuple(address, fc.oneof(fc.nat(32), fc.nat(140))).map(([text, length]) => `${text}/${length}`);
const number = fc.oneof(
  fc.constantFrom(
    0,
    1,
    3,
    9,
    16,
    17,
    64,
    65,
    255,
    256,
    997,
    1000,
    1024,
    65_535,
    65_536,
    2 ** 32 - 2,
    2 ** 32 - 1,
    -1,
    1.5,
  ),
  fc.integer(),
);
const port = fc.oneof(fc.nat(70_000), fc.constantFrom(0, 65_535, 65_536));
const text = fc.oneof(
  address,
  prefix,
  fc.tuple(address, fc.constantFrom("-", " - ", "--"), address).map((parts) => parts.join("")),
  port.map(String),
  fc.tuple(port, port).map(([from, to]) => `${from}-${to}`),
  fc.tuple(fc.nat(70_000), fc.nat(70_000)).map((parts) => parts.join(":")),
  fc.array(fc.nat({ max: 2 ** 32 + 9 }), { minLength: 2, maxLength: 4 }).map((parts) => parts.join(":")),
  fc.nat({ max: 2 ** 32 }).map((value) => `0x${value.toString(16)}`),
  fc.constantFrom(
    "",
    "DSR",
    "NAT",
    "Agent",
    "Network",
    "BGP",
    "Static",
    "IPv4",
    "IPv6",
    "TCP",
    "ext0",
    "svc0",
    "a.b",
    "A",
    "a/b",
  ),
  fc.constantFrom(
    "00001:1",
    "0x000000001",
    "0X1",
    "0x",
    "00080",
    "000080",
    "1-",
    "-1",
    " 1",
    "1:2 ",
    "a b",
    "é",
    "In",
    "Exists",
  ),
);
const plain = fc.oneof(
  { weight: 4, arbitrary: text },
  { weight: 3, arbitrary: number },
  fc.boolean(),
  fc.constant(null),
);
const replacement = fc.oneof(
  { weight: 6, arbitrary: plain },
  { weight: 2, arbitrary: fc.array(plain, { maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constant({}) },
);

describe("rules that are worth a look of their own", () => {
  const withPart = (kind: CrdKind, at: Site, part: unknown) => {
    const value = valid.find((entry) => entry.kind === kind)?.value;
    return verdict(kind, replaced(value, at, part));
  };

  /** Both say the same of every part, each often enough. */
  function alike<T>(kind: CrdKind, at: Site, parts: fc.Arbitrary<T>, numRuns: number): void {
    const counts = { admitted: 0, refused: 0 };
    fc.assert(
      fc.property(parts, (part) => {
        const { said, parsed } = withPart(kind, at, part);
        counts[parsed.success ? "admitted" : "refused"] += 1;
        expect(said.length === 0, `${JSON.stringify(part)} ${said.join()}`).toBe(parsed.success);
      }),
      { numRuns },
    );
    expect(Math.min(counts.admitted, counts.refused)).toBeGreaterThan(numRuns / 20);
  }

  test("mask, value and width of a byte match", () => {
    const hex = fc
      .tuple(fc.nat({ max: 2 ** 32 - 1 }), fc.nat(31), fc.boolean(), fc.nat(8))
      .map(([bits, shift, upper, zeros]) => {
        const digits = Math.floor(bits / 2 ** shift)
          .toString(16)
          .padStart(zeros, "0");
        return `0x${upper ? digits.toUpperCase() : digits}`;
      });
    const matches = fc
      .tuple(fc.constantFrom(1, 2, 4), fc.option(hex, { nil: undefined }), hex, fc.boolean())
      .map(([width, mask, value, within]) => {
        if (mask === undefined) return { offset: 0, width, value };
        const inside = `0x${(BigInt(value) & BigInt(mask)).toString(16)}`;
        return { offset: 0, width, mask, value: within ? inside : value };
      });
    alike("FlowRoute", ["spec", "match", "byteMatches", 0], matches, 1500);
  });

  test("primes, and products of two", () => {
    const factor = fc.integer({ min: 2, max: 256 });
    const sizes = fc.oneof(
      fc.integer({ min: 2, max: 65_540 }),
      fc.tuple(factor, factor).map(([a, b]) => a * b),
      fc.constantFrom(7, 251, 997, 9973, 65_521, 65_537, 251 * 251, 65_536),
    );
    alike("GatewayParameters", ["spec", "lookupTableSize"], sizes, 1500);
  });

  test("interfaces of networks", () => {
    const networks = fc.array(fc.constantFrom("a", "b", "c", "d", "e"), { minLength: 1, maxLength: 3 });
    const specs = fc.tuple(networks, networks).map(([external, service]) => ({
      externalNetworks: external.map((name) => ({ interface: name })),
      serviceNetworks: service.map((name) => ({ network: "n", interface: name })),
    }));
    alike("GatewayParameters", ["spec"], specs, 500);
  });

  test("prefixes of a pool", () => {
    const prefixes = fc.oneof(
      fc.tuple(fc.nat(255), fc.integer({ min: 20, max: 32 })).map(([last, length]) => `192.0.2.${last}/${length}`),
      fc.tuple(fc.nat(255), fc.integer({ min: 118, max: 128 })).map(([last, length]) => `2001:db8::${last}/${length}`),
    );
    alike("AddressPool", ["spec", "addresses"], fc.array(prefixes, { minLength: 1, maxLength: 5 }), 500);
  });

  test("communities", () => {
    const half = fc.oneof(fc.nat(70_000), fc.constantFrom(0, 65_535, 65_536)).map(String);
    const part = fc.oneof(fc.nat({ max: 2 ** 32 + 9 }), fc.constantFrom(2 ** 32 - 1, 2 ** 32)).map(String);
    const communities = fc.array(half, { minLength: 2, maxLength: 2 }).map((parts) => parts.join(":"));
    const large = fc.array(part, { minLength: 3, maxLength: 3 }).map((parts) => parts.join(":"));
    alike("BgpPeer", ["spec", "advertise", "communities", 0], communities, 500);
    alike("BgpPeer", ["spec", "advertise", "largeCommunities", 0], large, 500);
  });

  test("quantities with a fraction are to be quoted: an int-or-string is no other number", () => {
    const resources = (cpu: unknown) =>
      withPart("GatewayParameters", ["spec"], {
        ...least.GatewayParameters,
        resources: { requests: { cpu } },
      });
    expect(resources("0.5").said).toEqual([]);
    expect(resources(1).said).toEqual([]);
    expect(resources(0.5).said).toHaveLength(1);
  });
});
