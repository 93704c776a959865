#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `error: context-cache needs Node 20.19 or newer; this is ${process.versions.node}. Install a newer one.\n`,
  );
  process.exit(1);
}
// New files are readable by this user only, including those of the index.
process.umask(0o077);
// Imported after the check, because an older Node may not be able to parse it.
const { run } = await import('./run.ts');
process.exitCode = await run(process.argv.slice(2));

export {};
