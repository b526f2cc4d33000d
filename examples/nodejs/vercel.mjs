// The Vercel AI SDK. Each request to the model becomes one event: two for the question that needs a tool.
import { openai } from '@ai-sdk/openai';
import { embed, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';

import { billTo, shutdown } from './telemetry.mjs';

// Without `isEnabled` there are no spans. Prompts and answers are needed by nobody who bills.
const experimental_telemetry = { isEnabled: true, recordInputs: false, recordOutputs: false };
const model = openai('gpt-4o-mini');

const weather = tool({
  description: 'The weather in a city',
  inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }),
  execute: async ({ city }) => `Rain in ${city}`,
});

async function answer() {
  const { text, steps } = await generateText({
    model,
    prompt: 'Do I need an umbrella in Lisbon?',
    tools: { weather },
    stopWhen: stepCountIs(5),
    experimental_telemetry,
  });
  console.log(`${steps.length} step(s): ${text}`);
}

async function stream() {
  const { textStream } = streamText({ model, prompt: 'What is a usage event?', experimental_telemetry });
  for await (const part of textStream) {
    process.stdout.write(part);
  }
  process.stdout.write('\n');
}

async function vector() {
  const { embedding } = await embed({
    model: openai.embedding('text-embedding-3-small'),
    value: 'usage event',
    experimental_telemetry,
  });
  console.log(`${embedding.length} dimensions`);
}

try {
  await billTo('alice', answer);
  await Promise.all([billTo('bob', stream), billTo('carol', vector)]);
} finally {
  await shutdown();
}
