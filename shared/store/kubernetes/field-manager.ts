import { hash } from "node:crypto";

/** By this an object's managed fields tell that we made it. */
export const FIELD_MANAGER_PREFIX = "causeway-";

/** The API server's limit. */
const MAX_LENGTH = 128;

/** The name that a field manager of ours goes by in the API. */
export function apiFieldManager(fieldManager: string): string {
  const name = `${FIELD_MANAGER_PREFIX}${fieldManager}`;
  if (name.length <= MAX_LENGTH) return name;
  return `${name.slice(0, MAX_LENGTH - 9)}-${hash("sha1", fieldManager).slice(0, 8)}`;
}
