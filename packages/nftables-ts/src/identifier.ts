import { NftInputError } from "./errors.ts";
import { RESERVED_WORDS } from "./reserved-words.ts";

/** The kernel's NFT_NAME_MAXLEN without the terminating NUL. */
const LONGEST_NAME = 255;

/**
 * Checks that `name` can be written into nft commands as the name of a table, chain, set, map or counter, and stays one
 * name there.
 *
 * @param what what the name is for, as the error should call it: "chain"
 * @returns the name
 * @throws NftInputError that says what is wrong with it
 */
export function identifier(what: string, name: string): string {
  const refuse = (problem: string): never => {
    throw new NftInputError(`${what} name ${shown(name)}: ${problem}`);
  };
  if (name === "") refuse("it is empty");
  if (name.length > LONGEST_NAME) refuse(`it has ${name.length} characters, the kernel takes ${LONGEST_NAME}`);
  if (!/^[A-Za-z_.]/.test(name)) refuse("it must start with a letter, an underscore or a dot");
  const offset = name.search(/[^A-Za-z0-9/_.-]/);
  if (offset !== -1) {
    const character = JSON.stringify(String.fromCodePoint(name.codePointAt(offset) ?? 0));
    refuse(`${character} at offset ${offset} is not allowed; use letters, digits and "_", ".", "-", "/"`);
  }
  if (RESERVED_WORDS.has(name)) refuse("it is a word of the nft language; add a prefix");
  return name;
}

/**
 * Puts text (an interface name, a comment, a log prefix) in double quotes. nft has no escapes inside quotes, so what
 * would end them is refused.
 *
 * @param what what the text is for, as the error should call it
 * @throws NftInputError that says what is wrong with it
 */
export function quotedString(what: string, text: string): string {
  const offset = text.search(/["\n\0]/);
  if (offset !== -1) {
    const problem = `${JSON.stringify(text[offset])} at offset ${offset} cannot be written inside quotes`;
    throw new NftInputError(`${what} ${shown(text)}: ${problem}`);
  }
  return `"${text}"`;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
