import { unlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Log } from "#shared/process/log.ts";
import {
  LibraryUnavailableError,
  type LoadLibrary,
  type TopicLibrary,
  TopicOpenError,
  type TopicSettings,
} from "../adapter/topic-adapter.ts";
import { ConnextAdapter } from "./connext-adapter.ts";
import { connextDocument } from "./connext-document.ts";
import { type Connector, type ConnextModule, isConnextModule } from "./connext-module.ts";

const PACKAGE = "rticonnextdds-connector";
const VERSION = "1.5.0";

export interface ConnextLoaderOptions {
  /** In which the package was installed (`npm install --prefix`); undefined: beside Causeway. */
  readonly folder: string | undefined;
  /** For the configuration, which Connext reads from a file. */
  readonly runDir: string;
  readonly log: Log;
}

/** What to do about a library that is not there; its licence is RTI's, so nothing installs it by itself. */
function advice(folder: string | undefined): string {
  const where = folder ?? "/opt/connext";
  return (
    `\`npm install --prefix ${where} ${PACKAGE}@${VERSION}\` installs it, by RTI's licence; ` +
    `then give its folder by CONNEXT_FOLDER or --connext ${where}`
  );
}

function requireConnext(folder: string | undefined): ConnextModule {
  const from = folder === undefined ? import.meta.url : join(folder, "package.json");
  let loaded: unknown;
  try {
    loaded = createRequire(from)(PACKAGE);
  } catch (cause) {
    const isAbsent = cause instanceof Error && "code" in cause && cause.code === "MODULE_NOT_FOUND";
    const where = folder === undefined ? "beside Causeway" : `in ${folder}`;
    const why = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
    const what = isAbsent ? `RTI Connext is not installed ${where}` : `RTI Connext cannot be loaded: ${why}`;
    throw new LibraryUnavailableError(`${what}; ${advice(folder)}`, { cause });
  }
  if (isConnextModule(loaded)) return loaded;
  throw new LibraryUnavailableError(`${PACKAGE} is not of a version that is known here; ${advice(folder)}`);
}

/** What of Connext's own words says something: not its file, which is gone, and not the stack of its functions. */
export function reasonOf(text: string): string {
  const lines = text.split("\n").map((line) => line.replace(/^\s*(ERROR\s*)?(\[[^\]]*\]\s*)?/, "").trim());
  const told = lines.find(
    (line) =>
      line !== "" &&
      !/load(ing)? profiles|Parse error in file|FAILED TO PARSE|set factory qos|RTIDDSConnector/.test(line),
  );
  return told?.replace(/^\w+:!?/, "").slice(0, 300) ?? "it does not say why";
}

class ConnextLibrary implements TopicLibrary {
  readonly #module: ConnextModule;
  readonly #options: ConnextLoaderOptions;
  #made = 0;
  #open = 0;

  constructor(module: ConnextModule, options: ConnextLoaderOptions) {
    this.#module = module;
    this.#options = options;
  }

  open(settings: TopicSettings): ConnextAdapter {
    this.#made += 1;
    const connector = this.#connector(settings, this.#made);
    this.#open += 1;
    return new ConnextAdapter({
      connector,
      binding: this.#module.connectorBinding,
      direction: settings.spec.direction,
      type: settings.spec.type,
      isAlone: () => this.#open <= 2,
      onClosed: () => {
        this.#open -= 1;
      },
    });
  }

  #connector(settings: TopicSettings, id: number): Connector {
    const { participant, text } = connextDocument(settings, id);
    const file = join(this.#options.runDir, `connext-${id}.xml`);
    writeFileSync(file, text, { mode: 0o600 });
    try {
      return new this.#module.Connector(participant, file);
    } catch (cause) {
      const said = this.#module.connectorBinding.RTI_Connector_get_last_error_message() ?? String(cause);
      this.#options.log.warn({ topic: settings.key, said: said.slice(0, 4_000) }, "Connext refuses a Topic");
      if (/licen[cs]e/i.test(said)) {
        throw new LibraryUnavailableError(
          `RTI Connext's licence does not allow this: ${reasonOf(said)}; name a licence file by RTI_LICENSE_FILE`,
          { cause },
        );
      }
      throw new TopicOpenError(
        "RTI Connext does not take spec.types, spec.interfaces or spec.qos: " +
          `${reasonOf(said)}; look at the attributes and bounds of ${settings.spec.type}`,
        { cause },
      );
    } finally {
      unlinkSync(file);
    }
  }
}

/** Loads RTI Connext when it is first asked for; when that fails, it is tried again the next time. */
export function connextLoader(options: ConnextLoaderOptions): LoadLibrary {
  let library: ConnextLibrary | undefined;
  return async () => {
    library ??= new ConnextLibrary(requireConnext(options.folder), options);
    return library;
  };
}
