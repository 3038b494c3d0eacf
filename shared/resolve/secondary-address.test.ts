import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { podSchema } from "../api/core.ts";
import { NETWORK_STATUS_ANNOTATION } from "../api/names.ts";
import { parseNetworkRef, secondaryAddresses } from "./secondary-address.ts";

const NETWORK = { namespace: "apps", name: "blue", interface: undefined };

function addresses(annotation: string | undefined, network: Parameters<typeof secondaryAddresses>[1] = NETWORK) {
  const annotations = annotation === undefined ? {} : { [NETWORK_STATUS_ANNOTATION]: annotation };
  const pod = podSchema.parse({ apiVersion: "v1", kind: "Pod", metadata: { name: "p", annotations } });
  return secondaryAddresses(pod, network);
}
const status = (...attachments: unknown[]): string => JSON.stringify(attachments);
const blue = (fields: Record<string, unknown> = {}): unknown => ({ name: "apps/blue", ips: ["10.0.0.1"], ...fields });

describe("the annotation of a Service", () => {
  test.each([
    ["blue", { namespace: "apps", name: "blue", interface: undefined }],
    ["infra/blue", { namespace: "infra", name: "blue", interface: undefined }],
    ["infra/blue@net1", { namespace: "infra", name: "blue", interface: "net1" }],
    [" blue.v2@net1 ", { namespace: "apps", name: "blue.v2", interface: "net1" }],
  ])("%s", (text, expected) => expect(parseNetworkRef(text, "apps")).toEqual(expected));

  test.each(["", "a/b/c", "/blue", "blue@", "Blue", "blue@way-too-long-for-a-device", "a b", "x".repeat(10_000)])(
    "%j is refused",
    (text) => expect(parseNetworkRef(text, "apps")).toBeUndefined(),
  );
});

describe("the annotation of a Pod", () => {
  test("the first address of each family", () => {
    const ips = ["10.0.0.1", "10.0.0.2", "2001:DB8::1", "2001:db8::2"];
    expect(addresses(status({ name: "cbr0", ips: ["10.244.0.1"] }, blue({ ips })))).toEqual({
      addresses: { 4: "10.0.0.1", 6: "2001:db8::1" },
    });
  });

  test("an interface, where the Service names one", () => {
    const text = status(blue({ interface: "net1" }), blue({ interface: "net2", ips: ["10.0.0.2"] }));
    expect(addresses(text, { ...NETWORK, interface: "net2" })).toEqual({ addresses: { 4: "10.0.0.2" } });
    expect(addresses(text)).toEqual({ addresses: { 4: "10.0.0.1" } });
    expect(addresses(text, { ...NETWORK, interface: "net9" })).toHaveProperty("problem");
  });

  test("what is wrong with another attachment is no obstacle", () => {
    expect(addresses(status({ name: "apps/red", ips: 7 }, blue()))).toEqual({ addresses: { 4: "10.0.0.1" } });
  });

  const many = Array.from({ length: 10_000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
  test("10,000 addresses", () => {
    expect(addresses(status(blue({ ips: many })))).toEqual({ addresses: { 4: "10.1.0.0" } });
  });

  test.each([
    ["missing", undefined, "is missing"],
    ["bad JSON", "{[", "does not parse"],
    ["no list", '{"name":"apps/blue"}', "does not parse"],
    ["null", "null", "does not parse"],
    ["a list of numbers", "[1,2]", "does not parse"],
    ["nothing in it", "[]", "does not list apps/blue, only nothing"],
    ["another network", status({ name: "apps/red" }), "only apps/red"],
    ["the same name elsewhere", status({ name: "infra/blue", ips: ["10.0.0.1"] }), "does not list apps/blue"],
    ["no addresses", status(blue({ ips: [] })), "[0].ips"],
    ["ips missing", status(blue({ ips: undefined })), "[0].ips"],
    ["ips of the wrong type", status(blue({ ips: "10.0.0.1" })), "[0].ips"],
    ["an address that is none", status(blue({ ips: ["10.0.0.300"] })), '"10.0.0.300", which is no IP address'],
    ["interface of the wrong type", status(blue({ interface: 1 })), "[0].interface"],
    ["too long", " ".repeat(300_000), "300000 characters"],
  ])("%s", (_name, text, mention) => {
    const result = addresses(text);
    expect("problem" in result && result.problem).toContain(mention);
    expect("problem" in result && result.problem).toContain(NETWORK_STATUS_ANNOTATION);
  });

  test("any JSON gives an answer", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.string(),
          fc.array(fc.jsonValue()).map((list) => status(...list, blue())),
        ),
        (text) => {
          const result = addresses(text);
          expect("problem" in result || "addresses" in result).toBe(true);
        },
      ),
    );
  });
});
