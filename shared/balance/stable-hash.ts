import { hash } from "node:crypto";

/** SHA-256 of a text, as bytes: the one source of every name, id and permutation, so that all instances agree. */
export function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}

/** The first 12 hexadecimal digits of the digest: a name for a thing that is known by its content. */
export function shortHash(text: string): string {
  return hash("sha256", text, "hex").slice(0, 12);
}
