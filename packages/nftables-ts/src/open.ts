import { NftError, NftUnavailableError } from "./errors.ts";
import { NftablesInline } from "./inline.ts";
import { type LibraryOptions, Nftables } from "./nftables.ts";
import type { NftablesRunner } from "./runner.ts";
import { NftablesSpawn, type SpawnOptions } from "./spawn.ts";
import { NftablesWorker } from "./worker.ts";

export type OpenOptions = LibraryOptions &
  SpawnOptions & {
    /** `auto` (the default) takes the library, or else the `nft` program. */
    readonly via?: NftablesRunner["via"] | "auto";
  };

/**
 * Opens nftables and makes sure that the chosen way works.
 *
 * @throws NftUnavailableError when it does not
 */
export async function openNftables({ via = "auto", ...options }: OpenOptions = {}): Promise<NftablesRunner> {
  switch (via) {
    case "library":
      return new NftablesInline(options);
    case "worker":
      new Nftables(options).close();
      return new NftablesWorker(options);
    case "spawn":
      return openSpawn(options);
    case "auto":
      return openEither(options);
  }
}

async function openEither(options: LibraryOptions & SpawnOptions): Promise<NftablesRunner> {
  try {
    return new NftablesInline(options);
  } catch (noLibrary) {
    if (!(noLibrary instanceof NftUnavailableError)) throw noLibrary;
    try {
      return await openSpawn(options);
    } catch (noProgram) {
      if (!(noProgram instanceof NftError)) throw noProgram;
      const message = `nftables is not available: ${noLibrary.message}; ${noProgram.message}`;
      throw new NftUnavailableError(message, { cause: new AggregateError([noLibrary, noProgram]) });
    }
  }
}

async function openSpawn(options: SpawnOptions): Promise<NftablesRunner> {
  const runner = new NftablesSpawn(options);
  // Empty input makes no change and needs no privilege; it fails only when the program does not start.
  await runner.run("");
  return runner;
}
