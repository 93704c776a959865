import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, sep } from 'node:path';
import ts from 'typescript';

/** The project's sources by their path from its root, as `src/core/apply.ts`. */
export type Sources = ReadonlyMap<string, string>;

/** A broken rule: the location and the problem. */
export type Violation = string;

const root = join(import.meta.dirname, '../..');

/** Reads every TypeScript file below these folders of the project. */
export function readSources(folders: readonly string[]): Sources {
  const sources = new Map<string, string>();
  for (const folder of folders) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      // The bench installs its competitors beside itself.
      if (file.startsWith(`node_modules${sep}`)) continue;
      if (/\.tsx?$/.test(file)) sources.set(`${folder}/${file}`, readFileSync(join(root, folder, file), 'utf8'));
    }
  }
  return sources;
}

export interface Import {
  /** The module's path from the root for a relative import; the specifier as it stands for a package. */
  readonly target: string;
  readonly kind: 'static' | 'type' | 'dynamic';
}

/** Every import and re-export of a file. */
export function importsOf(path: string, text: string): readonly Import[] {
  return remembered(importsByText, path, text, () => readImports(path, text));
}

function readImports(path: string, text: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, kind: Import['kind']) => {
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) {
      found.push({ target: resolve(path, specifier.text), kind });
    }
  };
  visit(parse(path, text), (node) => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node.importClause) ? 'type' : 'static');
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly ? 'type' : 'static');
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, 'type');
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], 'dynamic');
    }
  });
  return found;
}

/** `import { type A }` still loads the module; only `import type` does not. */
function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  return clause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(dirname(from), specifier) : specifier;
}

export function parse(path: string, text: string): ts.SourceFile {
  return remembered(filesByText, path, text, () => ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
}

const importsByText = new Map<string, readonly Import[]>();
const filesByText = new Map<string, ts.SourceFile>();

/** Returns the remembered result: rules run on all files many times. */
function remembered<Result>(memory: Map<string, Result>, path: string, text: string, make: () => Result): Result {
  const key = `${path}\n${text}`;
  const known = memory.get(key);
  if (known !== undefined) return known;
  const made = make();
  memory.set(key, made);
  return made;
}

export function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

/** `path:line` of a node. */
export function place(file: ts.SourceFile, node: ts.Node): string {
  return `${file.fileName}:${file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1}`;
}
