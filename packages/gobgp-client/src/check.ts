import { InvalidArgumentError } from "./errors.ts";
import { addressBytes, canonicalAddress, type Prefix, parsePrefix } from "./ip.ts";

/** Checks the fields of one object; every failure names the object and the field and says what would be right. */
export class Check {
  readonly #object: string;

  constructor(object: string) {
    this.#object = object;
  }

  fail(field: string, problem: string): never {
    throw new InvalidArgumentError(this.#object, field, problem);
  }

  integer(field: string, value: unknown, min: number, max: number): number {
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      this.fail(field, `${quote(value)} is not a whole number from ${min} to ${max}`);
    }
    return value;
  }

  optionalInteger(field: string, value: unknown, min: number, max: number): number | undefined {
    return value === undefined ? undefined : this.integer(field, value, min, max);
  }

  /** RFC 6793 and RFC 7607: 32 bits, and 0 is not an AS number. */
  asn(field: string, value: unknown): number {
    return this.integer(field, value, 1, 0xffffffff);
  }

  /** An address in canonical text, without zone. */
  address(field: string, value: unknown): string {
    const address = typeof value === "string" ? canonicalAddress(value) : undefined;
    if (address === undefined) this.fail(field, `${quote(value)} is not an IPv4 or IPv6 address`);
    return address;
  }

  ipv4(field: string, value: unknown): string {
    if (typeof value !== "string" || addressBytes(value)?.length !== 4) {
      this.fail(field, `${quote(value)} is not an IPv4 address`);
    }
    return value;
  }

  prefix(field: string, value: unknown): Prefix {
    const parsed = typeof value === "string" ? parsePrefix(value) : "is not a text";
    if (typeof parsed === "string") this.fail(field, `${quote(value)} ${parsed}`);
    return parsed;
  }

  /** A Linux interface name: IFNAMSIZ leaves 15 bytes. */
  interface(field: string, value: unknown): string {
    if (typeof value !== "string" || !/^[!-.0-9;-~]{1,15}$/.test(value) || value === "." || value === "..") {
      this.fail(field, `${quote(value)} is not an interface name (1 to 15 printable characters, no / or :)`);
    }
    return value;
  }

  oneOf<T extends string>(field: string, value: unknown, allowed: readonly T[]): T {
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) this.fail(field, `${quote(value)} is not one of ${allowed.join(", ")}`);
    return found;
  }

  list(field: string, value: unknown, max: number): readonly unknown[] {
    if (!Array.isArray(value)) this.fail(field, `${quote(value)} is not a list`);
    if (value.length > max) this.fail(field, `has ${value.length} entries; at most ${max} fit`);
    return value;
  }
}

function quote(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
