// One thing that an application does with the Vercel AI SDK, beside examples/nodejs/telemetry.mjs:
//   node --import ./telemetry.mjs vercel_calls.mjs NAME
import { openai } from '@ai-sdk/openai';
import { context, propagation } from '@opentelemetry/api';
import {
  embed,
  embedMany,
  generateObject,
  generateText,
  jsonSchema,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from 'ai';

import { billTo, shutdown } from './telemetry.mjs';

const experimental_telemetry = { isEnabled: true, recordInputs: false, recordOutputs: false };
const responses = { model: openai('gpt-4o-mini'), prompt: 'Does it rain in Lisbon?', experimental_telemetry };
const chat = { ...responses, model: openai.chat('gpt-4o-mini') };
const embeddings = { model: openai.embedding('text-embedding-3-small'), experimental_telemetry };
const object = {
  ...chat,
  schema: jsonSchema({ type: 'object', properties: { rain: { type: 'boolean' } }, required: ['rain'] }),
};
const weather = tool({
  inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }),
  execute: async ({ city }) => `Rain in ${city}`,
});
const withTool = { tools: { weather }, stopWhen: stepCountIs(5) };
const metadata = (values) => ({ experimental_telemetry: { ...experimental_telemetry, metadata: values } });

const calls = {
  responses: () => generateText(responses),
  responses_stream: () => streamText(responses).consumeStream(),
  chat: () => generateText(chat),
  chat_stream: () => streamText(chat).consumeStream(),
  tool: () => generateText({ ...responses, ...withTool }),
  tool_stream: () => streamText({ ...chat, ...withTool }).consumeStream(),
  object: () => generateObject(object),
  object_stream: async () => {
    for await (const _ of streamObject(object).partialObjectStream);
  },
  embed: () => embed({ ...embeddings, value: 'usage event' }),
  embed_many: () => embedMany({ ...embeddings, values: ['usage event', 'meter'] }),
  retried: () => generateText({ ...chat, maxRetries: 1 }),
  refused: () => generateText({ ...chat, maxRetries: 0 }),
  aborted: async () => {
    const controller = new AbortController();
    for await (const _ of streamText({ ...chat, abortSignal: controller.signal }).textStream) {
      controller.abort();
    }
  },
  crowded: () => {
    const many = Array.from({ length: 200 }, (_, number) => [`key${number}`, number]);
    return generateText({ ...chat, ...metadata(Object.fromEntries(many)) });
  },
  of_metadata: () => generateText({ ...chat, ...metadata({ userId: 'from-metadata' }) }),
  of_stranger: () => {
    const headers = { baggage: 'userId=mallory' };
    return context.with(propagation.extract(context.active(), headers), () => generateText(chat));
  },
  until_told_to_end: async () => {
    await generateText(chat);
    console.log('answered');
    await new Promise(() => setInterval(() => {}, 1_000));
  },
};

const call = calls[process.argv[2]];
const user = process.env.USER_IN_BAGGAGE;
await (user ? billTo(user, call) : call()).catch((error) => console.log(error.name));
await shutdown();
