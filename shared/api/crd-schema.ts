import { z } from "zod";

/*
 * Structural schemas of CustomResourceDefinitions, made from our own. Unknown fields need no word there: the API server
 * prunes them. What a structural schema cannot say (refinements, transforms) must be said by an addition, or be named
 * there as slipping through; a check that nobody answers for stops the generator.
 */

type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [field: string]: JsonValue };

/** A rule in the Common Expression Language, `x-kubernetes-validations`. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  /** The field that is at fault, relative to where the rule stands. */
  readonly fieldPath?: string;
  readonly reason?: "FieldValueInvalid" | "FieldValueRequired" | "FieldValueDuplicate";
}

/** The part of a structural schema that is used here. */
export interface StructuralSchema {
  readonly type?: "object" | "array" | "string" | "integer" | "boolean";
  readonly description?: string;
  readonly format?: "int32" | "int64" | "date-time";
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: StructuralSchema;
  readonly items?: StructuralSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly (string | number)[];
  readonly default?: JsonValue;
  readonly "x-kubernetes-int-or-string"?: true;
  readonly "x-kubernetes-list-type"?: "atomic" | "map";
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-validations"?: readonly CelRule[];
}

/** What a field's schema cannot say of itself. */
interface Addition {
  /** Keywords that narrow or type the field, beside what its schema gives. */
  readonly keywords?: Pick<
    StructuralSchema,
    "maxLength" | "pattern" | "format" | "minimum" | "maximum" | "x-kubernetes-list-type" | "x-kubernetes-list-map-keys"
  >;
  readonly rules?: readonly CelRule[];
  /** What the API server lets through although our schema refuses it: it is refused in status. */
  readonly slips?: readonly string[];
}

/** By path: `spec.match.sources[]` is an item of the list `spec.match.sources`. */
export type Additions = Readonly<Record<string, Addition>>;

const INT32_MAX = 2 ** 31 - 1;

/** What JSON Schema says of a value without parts, in zod's own translation. */
const leafSchema = z.object({
  type: z.enum(["string", "integer", "boolean"]),
  pattern: z.string().optional(),
  minLength: z.int().optional(),
  maxLength: z.int().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
});

/** Schemas that say something wrong, or more than can be said. */
class SchemaNotStructuralError extends Error {
  override readonly name = "SchemaNotStructuralError";
  constructor(path: string, message: string) {
    super(`${path}: ${message}`);
  }
}

/** Within a status nothing is filled in: it says what was written, and no more. */
function isStatus(path: string): boolean {
  return path === "status" || path.startsWith("status.");
}

class Generator {
  readonly #additions: Additions;
  readonly #used = new Set<string>();

  constructor(additions: Additions) {
    this.#additions = additions;
  }

  /** @throws SchemaNotStructuralError when an addition stands where no field is. */
  finish(): void {
    for (const path of Object.keys(this.#additions)) {
      if (!this.#used.has(path)) throw new SchemaNotStructuralError(path, "there is no such field to add to");
    }
  }

  schemaOf(schema: unknown, path: string): StructuralSchema {
    if (!(schema instanceof z.ZodType)) throw new SchemaNotStructuralError(path, "is no schema");
    const addition = this.#additions[path];
    if (addition !== undefined) this.#used.add(path);
    if (this.#hasOwnCheck(schema) && addition?.rules === undefined && addition?.slips === undefined) {
      throw new SchemaNotStructuralError(path, "has a check that needs a rule, or to be named as slipping through");
    }
    const { description = this.#description(schema), ...rest } = this.#bare(schema, path);
    const rules = addition?.rules;
    return {
      ...(description === undefined ? {} : { description }),
      ...rest,
      ...addition?.keywords,
      ...(rules === undefined ? {} : { "x-kubernetes-validations": rules }),
    };
  }

  /** Whether the schema, wrappers aside, checks by code. */
  #hasOwnCheck(schema: unknown): boolean {
    if (schema instanceof z.ZodOptional) return this.#hasOwnCheck(schema.unwrap());
    if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return this.#hasOwnCheck(schema.unwrap());
    if (schema instanceof z.ZodPipe) return true;
    if (!(schema instanceof z.ZodType)) return false;
    return (schema.def.checks ?? []).some((check) => check._zod.def.check === "custom");
  }

  /** The outermost description counts. */
  #description(schema: unknown): string | undefined {
    if (!(schema instanceof z.ZodType)) return undefined;
    if (schema.description !== undefined) return schema.description;
    if (schema instanceof z.ZodOptional) return this.#description(schema.unwrap());
    if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return this.#description(schema.unwrap());
    return schema instanceof z.ZodPipe ? this.#description(schema.in) : undefined;
  }

  #bare(schema: unknown, path: string): StructuralSchema {
    if (schema instanceof z.ZodOptional) return this.#bare(schema.unwrap(), path);
    if (schema instanceof z.ZodPipe) return this.#bare(schema.in, path);
    if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
      const inner = this.#bare(schema.unwrap(), path);
      if (isStatus(path)) return inner;
      return { ...inner, default: filledIn(inner, z.json().parse(schema.def.defaultValue)) };
    }
    if (schema instanceof z.ZodObject) return this.#object(schema, path);
    if (schema instanceof z.ZodRecord) {
      return { type: "object", additionalProperties: this.schemaOf(schema.valueType, `${path}.*`) };
    }
    if (schema instanceof z.ZodArray) return this.#array(schema, path);
    if (schema instanceof z.ZodEnum) return { type: "string", enum: schema.options.map(String) };
    if (schema instanceof z.ZodUnion) return this.#union(schema.options, path);
    return this.#leaf(schema, path);
  }

  #object(schema: z.ZodObject, path: string): StructuralSchema {
    const fields = Object.entries(schema.shape).map(([name, field]) => {
      const at = path === "" ? name : `${path}.${name}`;
      return { name, required: !z.safeParse(field, undefined).success, schema: this.schemaOf(field, at) };
    });
    const required = fields.filter((field) => field.required).map(({ name }) => name);
    return {
      type: "object",
      ...(required.length === 0 ? {} : { required }),
      properties: Object.fromEntries(fields.map(({ name, schema: field }) => [name, field])),
    };
  }

  #array(schema: z.ZodArray, path: string): StructuralSchema {
    const { minItems, maxItems } = z
      .object({ minItems: z.int().optional(), maxItems: z.int().optional() })
      .parse(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
    return {
      type: "array",
      "x-kubernetes-list-type": "atomic",
      ...(minItems === undefined ? {} : { minItems }),
      ...(maxItems === undefined ? {} : { maxItems }),
      items: this.schemaOf(schema.element, `${path}[]`),
    };
  }

  #union(options: readonly unknown[], path: string): StructuralSchema {
    const literals = options.flatMap((option) => (option instanceof z.ZodLiteral ? [...option.values] : []));
    const integers = literals.filter((literal) => typeof literal === "number");
    if (literals.length === options.length && integers.length === literals.length) {
      return { type: "integer", format: "int32", enum: integers };
    }
    const numberOrText = options.every((option) => option instanceof z.ZodNumber || option instanceof z.ZodString);
    if (numberOrText) return { "x-kubernetes-int-or-string": true };
    throw new SchemaNotStructuralError(path, "is a union that a structural schema cannot say");
  }

  #leaf(schema: unknown, path: string): StructuralSchema {
    if (!(schema instanceof z.ZodString || schema instanceof z.ZodNumber || schema instanceof z.ZodBoolean)) {
      throw new SchemaNotStructuralError(path, "is of a type that a structural schema cannot say");
    }
    const leaf = leafSchema.parse(z.toJSONSchema(schema, { io: "input" }));
    const { type, pattern, minLength, maxLength } = leaf;
    if (type === "integer") {
      const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = leaf;
      return {
        type,
        format: maximum > INT32_MAX ? "int64" : "int32",
        ...(minimum === Number.MIN_SAFE_INTEGER ? {} : { minimum }),
        ...(maximum === Number.MAX_SAFE_INTEGER ? {} : { maximum }),
      };
    }
    return {
      type,
      ...(minLength === undefined ? {} : { minLength }),
      ...(maxLength === undefined ? {} : { maxLength }),
      ...(pattern === undefined ? {} : { pattern: pattern.replaceAll("\\/", "/") }),
    };
  }
}

/** The default of an object with the defaults of its fields in it, as the API server wants it to be valid by itself. */
function filledIn(schema: StructuralSchema, value: JsonValue): JsonValue {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const defaults = Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
    field.default === undefined ? [] : [[name, field.default] as const],
  );
  return { ...Object.fromEntries(defaults), ...value };
}

/**
 * The structural schema of a whole object: `spec` and `status` as the schema has them; of `metadata` the API server
 * takes care.
 * @throws SchemaNotStructuralError when something can neither be said nor is answered for by an addition.
 */
export function structuralSchema(schema: z.ZodObject, additions: Additions): StructuralSchema {
  const generator = new Generator(additions);
  const { spec, status } = schema.shape;
  const whole = {
    description: schema.description ?? "",
    type: "object",
    required: ["spec"],
    properties: {
      apiVersion: { type: "string", description: "Version of the schema of this object." },
      kind: { type: "string", description: "Kind of this object." },
      metadata: { type: "object" },
      spec: generator.schemaOf(spec, "spec"),
      status: generator.schemaOf(status, "status"),
    },
  } as const;
  generator.finish();
  return whole;
}
