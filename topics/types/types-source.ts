import { readFile, stat } from "node:fs/promises";
import type { Topic } from "#shared/api/topic.ts";
import type { ObjectView } from "#shared/store/object-store.ts";
import { XmlError } from "./read-xml.ts";
import { MAX_TYPES_OCTETS, readTypes, type TypeLibrary, TypesError } from "./type-library.ts";

/** The types of a Topic cannot be had: the message names the field, and what to do. */
export class TypesUnavailableError extends Error {
  override readonly name = "TypesUnavailableError";
}

async function fileText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_TYPES_OCTETS) {
      throw new TypesUnavailableError(
        `spec.types.file: ${path} has ${size} octets; ${MAX_TYPES_OCTETS} are taken at most`,
      );
    }
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof TypesUnavailableError) throw cause;
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new TypesUnavailableError(`spec.types.file: ${path} cannot be read where the Topic is served: ${why}`, {
      cause,
    });
  }
}

function configMapText(view: ObjectView, namespace: string, { name, key }: { name: string; key: string }): string {
  const field = "spec.types.configMap";
  const where = `ConfigMap ${namespace}/${name}`;
  const data = view.get("ConfigMap", namespace, name)?.data;
  if (data === undefined) throw new TypesUnavailableError(`${field}.name: ${where} does not exist`);
  const text = Object.hasOwn(data, key) ? data[key] : undefined;
  if (text !== undefined) return text;
  const keys = Object.keys(data).slice(0, 8).join(", ");
  const has = keys === "" ? "it has no data" : `it has ${keys}`;
  throw new TypesUnavailableError(`${field}.key: ${where} has no key ${JSON.stringify(key)}; ${has}`);
}

/** The text that describes a Topic's types. @throws TypesUnavailableError. */
export async function typesText(view: ObjectView, { metadata, spec }: Topic): Promise<string> {
  const { configMap, file } = spec.types;
  if (configMap !== undefined) return configMapText(view, metadata.namespace, configMap);
  return await fileText(file ?? "");
}

/** Reads a Topic's types out of their text. @throws TypesUnavailableError. */
export function parseTypes({ spec }: Topic, text: string): TypeLibrary {
  try {
    return readTypes(text, spec.type);
  } catch (cause) {
    if (!(cause instanceof XmlError) && !(cause instanceof TypesError)) throw cause;
    const { configMap, file } = spec.types;
    const where = configMap === undefined ? `spec.types.file: ${file}` : `spec.types.configMap: ${configMap.name}`;
    const key = configMap === undefined ? "" : `, key ${configMap.key}`;
    throw new TypesUnavailableError(`${where}${key}: ${cause.message}`, { cause });
  }
}
