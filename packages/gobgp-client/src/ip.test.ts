import { SocketAddress } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { addressBytes, canonicalAddress, formatAddress, parsePrefix } from "./ip.ts";

const v6Bytes = fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(255)), {
  minLength: 16,
  maxLength: 16,
});

test("IPv6 text is what the C library writes, and reads back to the same bytes", () => {
  fc.assert(
    fc.property(v6Bytes, (list) => {
      const bytes = Uint8Array.from(list);
      const text = formatAddress(bytes);
      expect(addressBytes(text)).toEqual(bytes);
      // The C library writes the deprecated IPv4-compatible and the IPv4-mapped addresses with a dotted quad.
      if (list.slice(0, 10).some((byte) => byte !== 0)) {
        expect(text).toBe(new SocketAddress({ address: text, family: "ipv6" }).address);
      }
    }),
  );
});

test("other spellings come to the same text; what is no address has none", () => {
  expect(canonicalAddress("2001:DB8:0:0:0:0:0:1")).toBe("2001:db8::1");
  expect(canonicalAddress("::ffff:192.0.2.1")).toBe("::ffff:c000:201");
  expect(canonicalAddress("::")).toBe("::");
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "fe80::1%eth0",
    "<nil>",
    "invalid IP",
    "::1::",
    "1.2.3.4\0",
  ]) {
    expect(canonicalAddress(text)).toBeUndefined();
  }
});

test("a prefix has no host bits, and the message says what would be right", () => {
  expect(parsePrefix("192.0.2.0/24")).toEqual({ family: "ipv4-unicast", address: "192.0.2.0", length: 24 });
  expect(parsePrefix("2001:DB8::/33")).toEqual({ family: "ipv6-unicast", address: "2001:db8::", length: 33 });
  expect(parsePrefix("192.0.2.129/25")).toBe("has host bits set; write 192.0.2.128/25");
  expect(parsePrefix("2001:db8:8000::1/33")).toBe("has host bits set; write 2001:db8:8000::/33");
  for (const text of [
    "192.0.2.1",
    "192.0.2.1/",
    "192.0.2.1/x",
    "192.0.2.1/-1",
    "192.0.2.1/33",
    "::/129",
    "/8",
    "1.2.3.4/8/8",
  ]) {
    expect(typeof parsePrefix(text)).toBe("string");
  }
});

test("every prefix of an address contains it: the corrected text parses", () => {
  fc.assert(
    fc.property(v6Bytes, fc.integer({ min: 0, max: 128 }), (list, length) => {
      const text = `${formatAddress(Uint8Array.from(list))}/${length}`;
      const first = parsePrefix(text);
      const corrected = typeof first === "string" ? first.replace(/^.*write /, "") : text;
      expect(parsePrefix(corrected)).toMatchObject({ length });
    }),
  );
});
