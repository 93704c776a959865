import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildDist, projectRoot } from './support/dist.ts';
import { codeBlocks, type Program, programsOf } from './support/markdown.ts';
import { startNats, startRedis } from './support/servers.ts';
import { tempDir } from './support/temp-dir.ts';

/** Pages whose TypeScript is type-checked and run, section by section. */
const PAGES = [
  ...['README.md', 'docs/governance.md', 'docs/guide.md', 'docs/monitoring.md', 'docs/spec.md'],
  ...readdirSync(join(projectRoot, 'docs/integrations')).map((page) => `docs/integrations/${page}`),
];

/** Addresses in the text; programs that name one get a server of their own. */
const REDIS_URL = 'redis://127.0.0.1:6379';
const NATS_URL = 'nats://127.0.0.1:4222';

const pages = await Promise.all(
  PAGES.map(async (page) => ({ page, programs: programsOf(await readFile(join(projectRoot, page), 'utf8')) })),
);
const programs = pages.flatMap(({ page, programs }) => programs.map((program) => ({ page, program })));

/** Below the project, so that the package finds itself by name, as in a project that has installed it. */
let folder: string;
let problems: Map<string, string[]>;

beforeAll(async () => {
  await buildDist();
  problems = compile(new Map(programs.map(({ page, program }) => [fileOf(page, program), program.code])));
  await mkdir(join(projectRoot, '.context-cache'), { recursive: true });
  folder = await mkdtemp(join(projectRoot, '.context-cache', 'docs-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The name under which the compiler sees a program. */
const fileOf = (page: string, { line }: Program) =>
  join(projectRoot, '.context-cache', `${page.replaceAll('/', '-')}-${line}.mts`);

/** Compiles programs as a strict project would, all at once, and returns what the compiler says of each file. */
function compile(sources: ReadonlyMap<string, string>): Map<string, string[]> {
  const options: ts.CompilerOptions = {
    strict: true,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    typeRoots: [join(projectRoot, 'node_modules/@types')],
    skipLibCheck: true,
    noEmit: true,
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => sources.has(name) || fileExists(name);
  host.readFile = (name) => sources.get(name) ?? readFile(name);
  host.getSourceFile = (name, target, ...rest) => {
    const code = sources.get(name);
    return code === undefined ? getSourceFile(name, target, ...rest) : ts.createSourceFile(name, code, target);
  };
  const problems = new Map<string, string[]>();
  for (const { file, start = 0, messageText } of ts.getPreEmitDiagnostics(
    ts.createProgram([...sources.keys()], options, host),
  )) {
    const line = file?.text.split('\n')[file.getLineAndCharacterOfPosition(start).line]?.trim();
    const name = file?.fileName ?? '';
    const said = `${line ?? 'the project'}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    problems.set(name, [...(problems.get(name) ?? []), said]);
  }
  return problems;
}

/** Runs a program in an empty working directory, against these servers, and returns what it printed. */
async function run({ code, line }: Program, redisUrl: string, natsUrl: string): Promise<string> {
  const script = join(folder, `program-${line}.mjs`);
  const { outputText } = ts.transpileModule(code.replaceAll(REDIS_URL, redisUrl).replaceAll(NATS_URL, natsUrl), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
  });
  await writeFile(script, outputText);
  const env = { ...process.env, REDIS_URL: redisUrl, NATS_URL: natsUrl, NO_COLOR: '1' };
  const options = { cwd: await tempDir('docs'), env, timeout: 120_000 };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [script], options);
  expect(stderr).toBe('');
  return stdout;
}

describe('programsOf', () => {
  const page =
    '# T\n\n```ts\na;\n```\n\n```text\n1\n```\n\n## S\n\n```ts\nimport b from "b";\nb;\n```\n\n```ts\nimport b from "b";\nc;\n```\n';

  test('joins the blocks of a section and what they print', () => {
    const [start, section, ...others] = programsOf(page);
    expect(start).toEqual({ section: 'start', line: 4, code: 'a;\n', output: '1\n' });
    expect(section).toMatchObject({ section: 'S', line: 14, output: undefined });
    expect(section?.code).toMatch(/^import b from "b";\nb;\n+c;\n$/);
    expect(others).toEqual([]);
  });

  test('numbers the lines of blocks as the page does', () => {
    expect(codeBlocks(page).map(({ line }) => line)).toEqual([4, 8, 14, 19]);
  });
});

describe('compile', () => {
  test('reports a program with a type error, and only that', () => {
    const code = "import { AgentContextCache } from 'agent-context-cache';\nnew AgentContextCache().get('a');\n";
    const [right, wrong] = ['right', 'wrong'].map((name) => join(projectRoot, '.context-cache', `${name}.mts`));
    const found = compile(
      new Map([
        [`${right}`, code],
        [`${wrong}`, code.replace("'a'", '7')],
      ]),
    );
    expect([...found.keys()]).toEqual([wrong]);
    expect(found.get(`${wrong}`)?.join()).toContain('not assignable');
  });
});

describe.each(PAGES.filter((page) => page.startsWith('docs/integrations/')))('%s', (page) => {
  test('begins with a program that every supported Node runs as it is', async () => {
    const blocks = codeBlocks(await readFile(join(projectRoot, page), 'utf8'));
    const script = join(await tempDir('docs'), 'first.mjs');
    await writeFile(script, blocks.find(({ language }) => language === 'ts')?.code ?? '');
    await promisify(execFile)(process.execPath, ['--check', script]);
  });
});

describe.each(programs)('$page, $program.section', ({ page, program }) => {
  test('compiles in a strict project', () => {
    expect(problems.get('') ?? []).toEqual([]);
    expect(problems.get(fileOf(page, program)) ?? []).toEqual([]);
  });

  test('runs and prints what the page says', async () => {
    await using redis = program.code.includes(REDIS_URL) ? await startRedis() : undefined;
    await using nats = /NATS_URL|setTopicsList|nats:/.test(program.code) ? await startNats() : undefined;
    const printed = await run(program, redis?.url ?? REDIS_URL, nats?.url ?? NATS_URL);
    if (program.output !== undefined) expect(printed).toBe(program.output);
  });
});

describe('the pages', async () => {
  const { stdout } = await promisify(execFile)('git', ['ls-files', '*.md'], { cwd: projectRoot });
  // The changelog tells of files that may have moved since.
  const markdown = stdout.split('\n').filter((page) => page !== '' && page !== 'CHANGELOG.md');

  test.each(markdown)('%s names files and links to pages that exist', async (page) => {
    const text = await readFile(join(projectRoot, page), 'utf8');
    const files = [...text.matchAll(/`((?:src|test|machines|docs|bench|examples|scripts)\/[\w./-]+\.\w+)`/g)].map(
      ([, file]) => join(projectRoot, file as string),
    );
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, link]) =>
      join(projectRoot, dirname(page), link as string),
    );
    expect([...files, ...links].filter((file) => !existsSync(file))).toEqual([]);
  });
});

test.each(PAGES)('%s has TypeScript in it', (page) => {
  expect(pages.find((each) => each.page === page)?.programs).not.toEqual([]);
});
