/** No member of a type in DDS can have this name: a client can tell errors from samples. */
const ERROR_MEMBER = "causeway.dev/error";

/** What a client is told, as a line of its own. */
export function errorLine(message: string): Buffer {
  return Buffer.from(`${JSON.stringify({ [ERROR_MEMBER]: message })}\n`);
}
