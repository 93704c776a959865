import { setTimeout as sleep } from 'node:timers/promises';
import { fromJsonSchema, type McpServer, ResourceTemplate, type ServerContext } from '@modelcontextprotocol/server';

type Elicitation = Parameters<ServerContext['mcpReq']['elicitInput']>[0];

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
const SOUND = Buffer.from(
  'RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0',
  'latin1',
);
const TEXT = { type: 'text', text: 'This is a simple text response for testing.' } as const;
const IMAGE = { type: 'image', data: PIXEL, mimeType: 'image/png' } as const;
const AUDIO = { type: 'audio', data: SOUND.toString('base64'), mimeType: 'audio/wav' } as const;
const embedded = (uri: string, text: string, mimeType = 'text/plain') =>
  ({ type: 'resource', resource: { uri, mimeType, text } }) as const;
const said = (text: string) => ({ content: [{ type: 'text' as const, text }] });
const strings = (...names: readonly string[]) =>
  fromJsonSchema<Record<string, string>>({
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
    required: [...names],
  });
const described = (description: string, ...names: readonly string[]) => ({
  description,
  inputSchema: strings(...names),
});
const fields = (properties: object): Elicitation =>
  ({
    mode: 'form',
    message: 'Fill in the form.',
    requestedSchema: { type: 'object', properties, required: [] },
  }) as Elicitation;

const OPTIONS = ['option1', 'option2', 'option3'];
const titled = (start: string) =>
  ['First', 'Second', 'Third'].map((name, i) => ({ const: `${start}${i + 1}`, title: `${name} Option` }));
const DEFAULTS = {
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
};
const ENUMS = {
  untitledSingle: { type: 'string', enum: OPTIONS },
  titledSingle: { type: 'string', oneOf: titled('value') },
  legacyEnum: {
    type: 'string',
    enum: ['opt1', 'opt2', 'opt3'],
    enumNames: ['Option One', 'Option Two', 'Option Three'],
  },
  untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
  titledMulti: { type: 'array', items: { anyOf: titled('value') } },
};

/** Adds the tools, resources and prompts that the official conformance suite asks a server for. */
export function addFixtures(server: McpServer): void {
  server.server.registerCapabilities({ logging: {} });
  const contents = {
    test_simple_text: [TEXT],
    test_image_content: [IMAGE],
    test_audio_content: [AUDIO],
    test_embedded_resource: [embedded('test://embedded-resource', 'This is an embedded resource content.')],
    test_multiple_content_types: [
      ...[{ type: 'text', text: 'Multiple content types test:' } as const, IMAGE],
      embedded('test://mixed-content-resource', '{"test":"data","value":123}', 'application/json'),
    ],
  };
  for (const [name, content] of Object.entries(contents))
    server.registerTool(name, described(name), () => ({ content: [...content] }));
  server.registerTool('test_error_handling', described('Fails.'), () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  server.registerTool('test_tool_with_logging', described('Notifies.'), async (_, { mcpReq }) => {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
      await sleep(50);
    }
    return said('Logged.');
  });
  server.registerTool('test_tool_with_progress', described('Notifies.'), async (_, { mcpReq }) => {
    for (const progress of [0, 50, 100]) {
      const params = { progressToken: mcpReq._meta?.progressToken ?? 0, progress, total: 100 };
      await mcpReq.notify({ method: 'notifications/progress', params });
      await sleep(50);
    }
    return said('Done.');
  });
  server.registerTool('test_sampling', described('Asks the model.', 'prompt'), async ({ prompt = '' }, { mcpReq }) => {
    const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: prompt } }];
    const { content } = await mcpReq.requestSampling({ messages, maxTokens: 100 });
    return said(`LLM response: ${JSON.stringify(content)}`);
  });
  const ask = async ({ mcpReq }: ServerContext, form: Elicitation) => {
    const { action, content } = await mcpReq.elicitInput(form);
    return said(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`);
  };
  const asked = described('Asks the user.', 'message');
  server.registerTool('test_elicitation', asked, ({ message = '' }, context) =>
    ask(context, { ...fields({ response: { type: 'string' } }), message } as Elicitation),
  );
  server.registerTool('test_elicitation_sep1034_defaults', described('Asks the user.'), (_, context) =>
    ask(context, fields(DEFAULTS)),
  );
  server.registerTool('test_elicitation_sep1330_enums', described('Asks the user.'), (_, context) =>
    ask(context, fields(ENUMS)),
  );
  server.registerTool('test_reconnection', described('Ends its stream.'), async (_, { http }) => {
    http?.closeSSE?.();
    await sleep(100);
    return said('The client connected again.');
  });
  const inputSchema = fromJsonSchema({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: { address: { type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
    properties: { name: { type: 'string' }, address: { $ref: '#/$defs/address' } },
    additionalProperties: false,
  });
  server.registerTool('json_schema_2020_12_tool', { description: 'Has a schema.', inputSchema }, () =>
    said('Checked.'),
  );
  addResources(server);
  addPrompts(server);
}

function addResources(server: McpServer): void {
  const text = 'This is the content of the static text resource.';
  server.registerResource('text', 'test://static-text', {}, ({ href: uri }) => ({
    contents: [{ uri, mimeType: 'text/plain', text }],
  }));
  server.registerResource('binary', 'test://static-binary', {}, ({ href: uri }) => ({
    contents: [{ uri, mimeType: 'image/png', blob: PIXEL }],
  }));
  server.registerResource('watched', 'test://watched-resource', {}, ({ href: uri }) => ({
    contents: [{ uri, text: '1' }],
  }));
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  server.registerResource('template', template, {}, ({ href: uri }, { id }) => ({
    contents: [
      {
        uri,
        mimeType: 'application/json',
        text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
      },
    ],
  }));
}

function addPrompts(server: McpServer): void {
  const user = 'user' as const;
  const says = (text: string) => ({ role: user, content: { type: 'text' as const, text } });
  server.registerPrompt('test_simple_prompt', { description: 'Says a text.' }, () => ({
    messages: [says('This is a simple prompt for testing.')],
  }));
  server.registerPrompt(
    'test_prompt_with_arguments',
    { description: 'Says its arguments.', argsSchema: strings('arg1', 'arg2') },
    ({ arg1, arg2 }) => ({
      messages: [says(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
    }),
  );
  const argsSchema = strings('resourceUri');
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'Embeds.', argsSchema },
    ({ resourceUri = '' }) => ({
      messages: [
        { role: user, content: embedded(resourceUri, 'Embedded resource content for testing.') },
        says('Please process the embedded resource above.'),
      ],
    }),
  );
  server.registerPrompt('test_prompt_with_image', { description: 'Shows an image.' }, () => ({
    messages: [{ role: user, content: IMAGE }, says('Please analyze the image above.')],
  }));
}
