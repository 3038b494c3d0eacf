export { concat, goto, jump, mangle, match, meta, payload, rawPayload } from "./build.ts";
export {
  type Diagnostic,
  NftClosedError,
  NftError,
  NftInputError,
  NftKernelError,
  NftListingError,
  NftNotFoundError,
  NftOutcomeUnknownError,
  NftSyntaxError,
  NftUnavailableError,
} from "./errors.ts";
export type * from "./expression.ts";
export { identifier, quotedString } from "./identifier.ts";
export { NftablesInline } from "./inline.ts";
export { type LibraryOptions, Nftables } from "./nftables.ts";
export { type OpenOptions, openNftables } from "./open.ts";
export type { ListOptions, RunOptions } from "./operations.ts";
export type * from "./ruleset.ts";
export type { NftablesRunner } from "./runner.ts";
export { NftablesSpawn, type SpawnOptions } from "./spawn.ts";
export type * from "./statement.ts";
export { NftablesWorker } from "./worker.ts";
