import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { buildDist, projectRoot } from '../../support/dist.ts';

const folder = join(projectRoot, 'dist/src/inspector/page');
const text = (name: string) => readFileSync(join(folder, name), 'utf8');

/** Code that the policy `script-src 'self'; style-src 'self'` refuses. */
const INLINE = /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:/i;
const REMOTE = /\b(?:src|href)=["']?(?:https?:)?\/\/|@import\s|url\(\s*["']?(?:https?:)?\/\//i;

describe('the built page of the inspector', () => {
  beforeAll(buildDist);

  test('consists of three files', () => {
    expect(readdirSync(folder).sort()).toEqual(['app.css', 'app.js', 'index.html']);
  });

  test('is smaller than 150 KB gzipped', () => {
    const bytes = ['app.css', 'app.js', 'index.html'].map((name) => gzipSync(text(name), { level: 9 }).length);
    expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThan(150_000);
  });

  test('has nothing inline and nothing remote', () => {
    expect(text('index.html')).not.toMatch(INLINE);
    expect(text('index.html')).not.toMatch(REMOTE);
    expect(text('app.css')).not.toMatch(REMOTE);
    // Names of XML namespaces are not addresses.
    expect(text('app.js').replaceAll(/http:\/\/www\.w3\.org\/\d+\/[\w/]+/g, '')).not.toMatch(
      /https?:\/\/(?!127\.0\.0\.1)/,
    );
  });

  test('never turns a text into code or markup', () => {
    expect(text('app.js')).not.toMatch(/\beval\(|new Function\(|insertAdjacentHTML|document\.write|outerHTML\s*=/);
  });

  test.each([
    ['<script>a()</script>', INLINE],
    ['<p style="color:red">', INLINE],
    ['<img onerror="a()">', INLINE],
    ['<script src="https://a.example/x.js">', REMOTE],
    ['<link href="//a.example/x.css">', REMOTE],
    ['a { background: url(https://a.example/x.png) }', REMOTE],
  ])('would notice %s', (planted, rule) => {
    expect(planted).toMatch(rule);
  });
});
