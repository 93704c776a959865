import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { buildDist, projectRoot } from './support/dist.ts';
import { tempDir } from './support/temp-dir.ts';

const run = promisify(execFile);

/** Marks the code block that is run, and the block with its output. */
const CODE_MARK = '<!-- first-example -->';
const OUTPUT_MARK = '<!-- first-example-output -->';

interface Example {
  readonly code: string;
  /** Expected output; `undefined` if the page has none. */
  readonly output: string | undefined;
}

/** Returns the marked example of a page of Markdown. */
function firstExample(markdown: string): Example {
  const code = blockBelow(markdown, CODE_MARK, /^(js|ts|javascript|typescript)$/);
  if (code === undefined) throw new Error(`README.md has no block of js or ts right below ${CODE_MARK}`);
  return { code, output: blockBelow(markdown, OUTPUT_MARK, /./) };
}

function blockBelow(markdown: string, mark: string, language: RegExp): string | undefined {
  const below = markdown.split(mark)[1];
  const [, info, text] = /^\s*```(\S+)[^\n]*\n([\s\S]*?)^```\s*$/m.exec(below ?? '') ?? [];
  const isRightBelow = below?.trimStart().startsWith('```') === true;
  return isRightBelow && info !== undefined && language.test(info) ? text : undefined;
}

/** Strips the types and nothing else, so that every Node runs the program. */
function toJavaScript(code: string): string {
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
  });
  return outputText;
}

/** The part of a report of `attw` that the test reads. */
interface TypesReport {
  readonly analysis: {
    readonly problems: readonly { readonly kind: string; readonly resolutionKind?: string }[];
    readonly entrypoints: Readonly<
      Record<string, { readonly resolutions: Readonly<Record<string, { resolution?: { isTypeScript: boolean } }>> }>
    >;
  };
}

const readme = join(projectRoot, 'README.md');

let packed: Promise<string> | undefined;
let installed: Promise<string> | undefined;

/** Packs the tarball as it would be published. */
function pack(): Promise<string> {
  packed ??= (async () => {
    const folder = await tempDir('pack');
    const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
    const [{ filename }] = JSON.parse(await outputOf('npm', args, projectRoot)) as [{ filename: string }];
    return join(folder, filename);
  })();
  return packed;
}

/** Creates an empty project with nothing but the tarball installed. */
function install(): Promise<string> {
  installed ??= (async () => {
    const tarball = await pack();
    const project = await tempDir('project');
    await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }\n');
    await outputOf('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball], project);
    return project;
  })();
  return installed;
}

/** Returns what the program prints; rejects with all its output if it fails. */
async function outputOf(program: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    return (await run(program, args, { cwd, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

describe('firstExample', () => {
  test('returns the block right below the mark, word for word, with its output', () => {
    const page = `x\n\`\`\`js\nno\n\`\`\`\n${CODE_MARK}\n\`\`\`ts\nconst a = 1;\n\n\`\`\`\n${OUTPUT_MARK}\n\`\`\`text\n1\n\`\`\`\n`;
    expect(firstExample(page)).toEqual({ code: 'const a = 1;\n\n', output: '1\n' });
  });

  test('throws if the mark, or a block right below it, is missing', () => {
    expect(() => firstExample('```js\na\n```\n')).toThrow('README.md has no block');
    expect(() => firstExample(`${CODE_MARK}\ntext\n\`\`\`js\na\n\`\`\`\n`)).toThrow('README.md has no block');
  });
});

describe('the packed tarball', () => {
  beforeAll(buildDist);

  test('holds what is published and nothing else', async () => {
    const listing = await outputOf('tar', ['-tzf', await pack()], projectRoot);
    const files = listing.trim().split('\n');
    const unexpected =
      /^package\/(?!dist\/(src|machines)\/|examples\/trip-agents\.mjs$|package\.json$|README\.md$|CHANGELOG\.md$|LICENSE$)/;
    expect(files.filter((file) => unexpected.test(file))).toEqual([]);
    expect(files).toContain('package/dist/src/index.js');
    expect(files).toContain('package/dist/src/index.d.ts');
  });

  test('runs the first example of the README in an empty project', async () => {
    const { code, output } = firstExample(readFileSync(readme, 'utf8'));
    const project = await install();
    await mkdir(join(project, 'example'), { recursive: true });
    await writeFile(join(project, 'example', 'first.js'), toJavaScript(code));
    const printed = await outputOf(process.execPath, [join(project, 'example', 'first.js')], project);
    if (output !== undefined) expect(printed).toBe(output);
  });

  test('compiles the first example of the README in a strict project that checks its declarations', async () => {
    const { code } = firstExample(readFileSync(readme, 'utf8'));
    const project = await install();
    await mkdir(join(project, 'strict'), { recursive: true });
    await writeFile(join(project, 'strict', 'first.ts'), code);
    const compilerOptions = {
      ...{ strict: true, noEmit: true, target: 'ES2023', module: 'NodeNext', types: ['node'] },
      typeRoots: [join(projectRoot, 'node_modules/@types')],
      lib: ['ES2023', 'ESNext.Disposable'],
    };
    await writeFile(join(project, 'strict', 'tsconfig.json'), JSON.stringify({ compilerOptions }));
    const tsc = join(projectRoot, 'node_modules/typescript/bin/tsc');
    expect(await outputOf(process.execPath, [tsc, '-p', join(project, 'strict')], project)).toBe('');
  });

  test('brings the command context-cache', async () => {
    const project = await install();
    expect(await outputOf('npx', ['--no-install', 'context-cache', '--help'], project)).toMatch(/apply[\s\S]*dump/);
  });

  test('runs its example agents with context-cache demo', async () => {
    const args = ['--no-install', 'context-cache', 'demo', '--trips', '1', '--every', '1ms'];
    expect(await outputOf('npx', args, await install())).toMatch(/planner: .*conflict.*booker: +booked/s);
  });

  test('every entry in "exports" can be imported', async () => {
    const project = await install();
    const { exports } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { exports: object };
    const entries = Object.keys(exports).filter((entry) => !entry.endsWith('.json'));
    const imports = entries.map((entry) => `await import(${JSON.stringify(join('agent-context-cache', entry))});`);
    // The conformance suites need a test runner, and some adapters the framework whose classes they extend.
    const framed = /\/(langchain|langgraph)"/;
    const plain = imports.filter((line) => !line.includes('/testing"') && !framed.test(line));
    await writeFile(join(project, 'imports.js'), plain.join('\n'));
    await expect(outputOf(process.execPath, ['imports.js'], project)).resolves.toBe('');
    const extended = imports.filter((line) => framed.test(line));
    expect(extended).toHaveLength(2);
    await writeFile(join(project, 'extended.js'), extended.join('\n'));
    await expect(outputOf(process.execPath, ['extended.js'], project)).rejects.toThrow(
      "Cannot find package '@langchain/",
    );
    await symlink(join(projectRoot, 'node_modules/@langchain'), join(project, 'node_modules/@langchain'));
    await expect(outputOf(process.execPath, ['extended.js'], project)).resolves.toBe('');
  });

  test('publint finds nothing', async () => {
    const publint = join(projectRoot, 'node_modules/publint/src/cli.js');
    const output = await outputOf(process.execPath, [publint, 'run', await pack(), '--strict'], projectRoot);
    expect(output).toContain('All good');
  });

  test('its types resolve in every entry of "exports"', async () => {
    const attw = join(projectRoot, 'node_modules/@arethetypeswrong/cli/dist/index.js');
    const args = [attw, await pack(), '--profile', 'esm-only', '--format', 'json'];
    const { analysis } = JSON.parse(await outputOf(process.execPath, args, projectRoot)) as TypesReport;
    expect(analysis.problems.filter(({ resolutionKind }) => resolutionKind === 'node16-esm')).toEqual([]);
    const { exports } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { exports: object };
    const typed = Object.entries(analysis.entrypoints).filter(
      ([entry, { resolutions }]) => entry.endsWith('.json') || resolutions['node16-esm']?.resolution?.isTypeScript,
    );
    expect(typed.map(([entry]) => entry).sort()).toEqual(Object.keys(exports).sort());
  });
});
