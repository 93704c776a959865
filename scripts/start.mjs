// `npm start`: builds if needed and runs the command line in this process, so that signals, exit code and standard streams
// are its own. Without arguments it runs the demo.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`agent-context-cache needs Node 20.19 or newer; this is Node ${process.versions.node}.\n`);
  process.exit(1);
}

// Imported only now: an older Node may be unable to parse them.
const { build } = await import('./build.mjs');
const { fileURLToPath } = await import('node:url');

const onStart = () => process.stderr.write('Building the package; this takes some seconds …\n');
if (!(await build({ ifNeeded: true, onStart }))) process.exit(1);
const main = new URL('../dist/src/cli/main.js', import.meta.url);
const given = process.argv.slice(2);
process.argv = [process.execPath, fileURLToPath(main), ...(given.length > 0 ? given : ['demo'])];
await import(main.href);
