import { type CelNode, parseCel } from "./cel-syntax.fixture.ts";
import { type OpenApiSchema, prunedAndFilledIn, validate } from "./structural-schema.fixture.ts";

/*
 * Whether an API server would take a schema: the rules for structural schemas of "Extend the Kubernetes API with
 * CustomResourceDefinitions", and what it checks of rules before it takes them. Unknown and forbidden keywords ($ref,
 * uniqueItems, additionalProperties: false …) stop `openApiSchema` already. For tests.
 */

/** Keywords that say what a value is; inside anyOf, oneOf and not, only what values are allowed may stand. */
const SHAPE = ["type", "description", "default", "additionalProperties", "x-kubernetes-list-type"] as const;

function* junctorFaults(inner: OpenApiSchema, outer: OpenApiSchema | undefined, path: string): Generator<string> {
  if (outer === undefined) {
    yield `${path}: is not specified outside of anyOf, oneOf or not`;
    return;
  }
  for (const keyword of SHAPE) if (inner[keyword] !== undefined) yield `${path}: ${keyword} in anyOf, oneOf or not`;
  for (const [name, field] of Object.entries(inner.properties ?? {})) {
    yield* junctorFaults(field, outer.properties?.[name], `${path}.${name}`);
  }
  if (inner.items !== undefined) yield* junctorFaults(inner.items, outer.items, `${path}[]`);
}

function* listFaults(schema: OpenApiSchema, path: string): Generator<string> {
  const keys = schema["x-kubernetes-list-map-keys"];
  const listType = schema["x-kubernetes-list-type"];
  if (listType !== undefined && schema.type !== "array") yield `${path}: list type of no list`;
  if ((listType === "map") !== (keys !== undefined)) yield `${path}: a list that is a map has keys, and no other`;
  for (const key of keys ?? []) {
    const field = schema.items?.properties?.[key];
    const isScalar = field?.type !== undefined && field.type !== "object" && field.type !== "array";
    if (!isScalar) yield `${path}: key ${key} is no scalar`;
    if (field?.default === undefined && schema.items?.required?.includes(key) !== true) {
      yield `${path}: key ${key} is neither required nor has a default`;
    }
  }
}

/** What is wrong with a schema, as `path: what`. */
export function* structuralFaults(schema: OpenApiSchema, path: string): Generator<string> {
  const { type, properties, additionalProperties, items } = schema;
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  if ((type === undefined) !== intOrString) yield `${path}: needs either a type or int-or-string`;
  if (properties !== undefined && additionalProperties !== undefined) yield `${path}: fixed fields and free ones`;
  if (properties !== undefined && type !== "object") yield `${path}: fields of no object`;
  if ((items === undefined) === (type === "array")) yield `${path}: items and lists go together`;
  for (const name of schema.required ?? []) {
    if (properties === undefined || !Object.hasOwn(properties, name)) yield `${path}: requires unknown ${name}`;
  }
  if (schema.default !== undefined) {
    const stored = prunedAndFilledIn({ ...schema, default: undefined }, schema.default);
    if (JSON.stringify(stored) !== JSON.stringify(schema.default)) yield `${path}: default is incomplete or too much`;
    for (const fault of validate(schema, schema.default, path)) yield `default of ${fault}`;
  }
  yield* listFaults(schema, path);
  yield* ruleFaults(schema, path);
  for (const inner of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.not ? [schema.not] : [])]) {
    yield* junctorFaults(inner, schema, path);
  }
  for (const [name, field] of Object.entries(properties ?? {})) yield* structuralFaults(field, `${path}.${name}`);
  if (additionalProperties !== undefined) yield* structuralFaults(additionalProperties, `${path}.*`);
  if (items !== undefined) yield* structuralFaults(items, `${path}[]`);
}

function* ruleFaults(schema: OpenApiSchema, path: string): Generator<string> {
  for (const { rule, message, fieldPath } of schema["x-kubernetes-validations"] ?? []) {
    if (/[\r\n]/.test(message) || message === "") yield `${path}: a message is one line`;
    if (fieldPath !== undefined && schema.properties?.[fieldPath.slice(1)] === undefined) {
      yield `${path}: a rule speaks of unknown ${fieldPath}`;
    }
    yield* new RuleCheck(path).faults(parseCel(rule), new Map([["self", schema]]));
  }
}

/** Names of a rule with what is known of their types. */
type Scope = ReadonlyMap<string, OpenApiSchema | undefined>;

/**
 * A rule is compiled against the schema, and its cost estimated: what it names must be there, and each text and list
 * that it goes through must have a limit.
 */
class RuleCheck {
  readonly #path: string;
  readonly #found: string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  faults(rule: CelNode, scope: Scope): readonly string[] {
    this.#typeOf(rule, scope);
    return this.#found;
  }

  #say(what: string): void {
    this.#found.push(`${this.#path}: ${what}`);
  }

  /** The schema of what a node yields; undefined for anything that has none. */
  #typeOf(node: CelNode, scope: Scope): OpenApiSchema | undefined {
    switch (node.is) {
      case "literal":
        return undefined;
      case "name":
        if (!scope.has(node.name)) this.#say(`there is no ${node.name}`);
        return this.#limited(scope.get(node.name), node.name);
      case "list":
        for (const item of node.items) this.#typeOf(item, scope);
        return undefined;
      case "select":
      case "has": {
        const of = this.#typeOf(node.of, scope);
        const field = of?.properties?.[node.field];
        if (field === undefined) this.#say(`there is no field ${node.field}`);
        return node.is === "has" ? undefined : this.#limited(field, node.field);
      }
      case "index":
        this.#typeOf(node.at, scope);
        return this.#typeOf(node.of, scope)?.items;
      case "not":
        this.#typeOf(node.of, scope);
        return undefined;
      case "choice":
        for (const part of [node.test, node.yes, node.no]) this.#typeOf(part, scope);
        return undefined;
      case "binary":
        for (const part of [node.left, node.right]) this.#typeOf(part, scope);
        return undefined;
      case "call":
        for (const part of [...(node.target ? [node.target] : []), ...node.args]) this.#typeOf(part, scope);
        return undefined;
      case "macro": {
        const list = this.#typeOf(node.target, scope);
        this.#typeOf(node.body, new Map([...scope, [node.variable, list?.items]]));
        return node.name === "filter" ? list : undefined;
      }
    }
  }

  #limited(schema: OpenApiSchema | undefined, name: string): OpenApiSchema | undefined {
    if (schema?.type === "string" && schema.maxLength === undefined && schema.enum === undefined) {
      this.#say(`${name} is a text without maxLength`);
    }
    if (schema?.type === "array" && schema.maxItems === undefined) this.#say(`${name} is a list without maxItems`);
    if (schema?.["x-kubernetes-int-or-string"] === true) this.#say(`${name} is an int-or-string: too dear`);
    return schema;
  }
}
