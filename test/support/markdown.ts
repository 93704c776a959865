/** A fenced block of a Markdown page. */
export interface CodeBlock {
  /** The first word after the fence, such as `ts` or `text`. */
  readonly language: string;
  /** Line of the page on which the code starts, from 1. */
  readonly line: number;
  readonly code: string;
}

/** The TypeScript blocks of one `##` section as one program, and what the page says it prints. */
export interface Program {
  readonly section: string;
  /** Line of the page on which the first block starts. */
  readonly line: number;
  readonly code: string;
  /** Joined `text` blocks that directly follow a block of code; `undefined` if the section has none. */
  readonly output: string | undefined;
}

/** Returns the fenced blocks of a page in order. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  for (const match of markdown.matchAll(/^```(\S+)[^\n]*\n([\s\S]*?)^```[ \t]*$/gm)) {
    const line = markdown.slice(0, match.index).split('\n').length + 1;
    blocks.push({ language: match[1] as string, line, code: match[2] as string });
  }
  return blocks;
}

/** Returns one program for each `##` section that has TypeScript blocks. */
export function programsOf(markdown: string): Program[] {
  const programs: Program[] = [];
  let line = 1;
  for (const section of markdown.split(/^(?=## )/m)) {
    const blocks = codeBlocks(section);
    const code = blocks.filter(({ language }) => language === 'ts');
    const output = blocks.filter(({ language }, index) => language === 'text' && blocks[index - 1]?.language === 'ts');
    if (code.length > 0) {
      programs.push({
        section: /^## (.*)/.exec(section)?.[1] ?? 'start',
        line: line + (code[0]?.line ?? 1) - 1,
        code: hoistImports(code.map((block) => block.code).join('\n')),
        output: output.length > 0 ? output.map((block) => block.code).join('') : undefined,
      });
    }
    line += section.split('\n').length - 1;
  }
  return programs;
}

/** A later block of a section may import what an earlier one has imported; a module may not. */
function hoistImports(code: string): string {
  const imports = new Set<string>();
  const rest = code.replace(/^import [^;]*;\n/gm, (statement) => {
    imports.add(statement);
    return '';
  });
  return [...imports, rest].join('');
}
