import { readFileSync } from "node:fs";

export type Vector = { readonly name: string; readonly from: string; readonly to: string; readonly bytes: Uint8Array };

const VENDORS = ["cyclone", "fast", "connext"] as const;
export type Vendor = (typeof VENDORS)[number];

/** Every recorded datagram, by vendor. test/record/record.ts records them again. */
export const vectors = Object.fromEntries(VENDORS.map((vendor) => [vendor, load(vendor)] as const));

/** The datagram of that name. */
export function vector(vendor: Vendor, name: string): Vector {
  const found = vectors[vendor]?.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no vector ${JSON.stringify(name)} of ${vendor}`);
  return found;
}

function load(vendor: Vendor): Vector[] {
  const file: unknown = JSON.parse(readFileSync(new URL(`vectors/${vendor}.json`, import.meta.url), "utf8"));
  if (typeof file !== "object" || file === null || !("datagrams" in file) || !Array.isArray(file.datagrams)) {
    throw new Error(`the vectors of ${vendor} are no list`);
  }
  return file.datagrams.map((each: Record<string, unknown>) => {
    const { name, from, to, hex } = each;
    // A copy of its own: a slice of Node's pool would hide a read past the end.
    return {
      name: String(name),
      from: String(from),
      to: String(to),
      bytes: new Uint8Array(Buffer.from(String(hex), "hex")),
    };
  });
}
