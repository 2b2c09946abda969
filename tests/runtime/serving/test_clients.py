"""The clients that people have, as they are, against `serve`: Triton's over HTTP and gRPC, and KServe's."""

from __future__ import annotations

import asyncio
import queue

import numpy as np
import pytest

pytestmark = [pytest.mark.needs("grpc"), pytest.mark.needs("starlette"), pytest.mark.needs("uvicorn")]


@pytest.mark.parametrize("is_binary", [True, False])
def test_tritons_http_client_gets_the_answers_of_the_whole_model(service, images, is_binary):
    import tritonclient.http as triton

    client = triton.InferenceServerClient(service.address)
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("tiny")
        assert client.get_model_metadata("tiny")["inputs"][0]["shape"] == [1, 3, 32, 32]
        for image in images[:4]:
            given = triton.InferInput("image", image.shape, "FP32")
            given.set_data_from_numpy(image, binary_data=is_binary)
            wanted = [triton.InferRequestedOutput("scores", binary_data=is_binary)]
            answer = client.infer("tiny", [given], outputs=wanted, request_id="7", timeout=5_000_000)
            np.testing.assert_allclose(answer.as_numpy("scores"), service.expected(image), rtol=1e-6)
            assert answer.get_response()["id"] == "7"
        given = triton.InferInput("picture", images[0].shape, "FP32")
        given.set_data_from_numpy(images[0])
        with pytest.raises(triton.InferenceServerException, match="no input `picture`; hint: its inputs are image"):
            client.infer("tiny", [given])
    finally:
        client.close()


def test_tritons_grpc_client_gets_the_answers_of_the_whole_model(service, images):
    import tritonclient.grpc as triton

    with triton.InferenceServerClient(service.server.grpc_address) as client:
        assert client.is_server_live()
        assert client.is_model_ready("tiny")
        assert client.get_server_metadata().name == "seamline"
        assert list(client.get_model_metadata("tiny").outputs[0].shape) == [1, 10]
        for image in images[:4]:
            answer = client.infer("tiny", [_given(triton, image)], client_timeout=10)
            np.testing.assert_allclose(answer.as_numpy("scores"), service.expected(image), rtol=1e-6)
        with pytest.raises(triton.InferenceServerException, match="must be float32") as refused:
            client.infer("tiny", [_given(triton, images[0][0])])
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
        with pytest.raises(triton.InferenceServerException) as refused:
            client.infer("other", [_given(triton, images[0])])
        assert refused.value.status() == "StatusCode.NOT_FOUND"
        with service.held():
            first = service.queue.submit({"image": images[0]}, 20.0)
            with pytest.raises(triton.InferenceServerException) as refused:
                client.infer("tiny", [_given(triton, images[0])], timeout=50_000)
        assert refused.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        assert first.result(20.0).error is None


def test_a_stream_of_requests_is_answered_in_order_and_a_wrong_one_in_its_place(service, images):
    import tritonclient.grpc as triton

    answers: queue.Queue = queue.Queue()
    with triton.InferenceServerClient(service.server.grpc_address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number, image in enumerate(images):
            client.async_stream_infer(
                "tiny", [_given(triton, image if number != 3 else image[0])], request_id=str(number)
            )
        got = [answers.get(timeout=20) for _ in images]
        client.stop_stream()
    assert "must be float32" in str(got[3][1])
    for number, (result, error) in enumerate(got):
        if number != 3:
            assert error is None
            assert result.get_response().id == str(number)
            np.testing.assert_allclose(result.as_numpy("scores"), service.expected(images[number]), rtol=1e-6)


def test_messages_are_those_of_tritons_service():
    from tritonclient.grpc import service_pb2

    from seamline.serving.grpc_messages import _FIELDS, message

    def fields(descriptor):
        return {
            (
                field.name,
                field.number,
                field.type,
                field.is_repeated,
                field.containing_oneof and field.containing_oneof.name,
            )
            for field in descriptor.fields
        }

    for name in _FIELDS:
        outer, _, inner = name.rpartition(".")
        theirs = service_pb2.DESCRIPTOR.message_types_by_name[outer or name]
        theirs = theirs.nested_types_by_name[inner] if outer else theirs
        ours = message(name).DESCRIPTOR
        assert fields(ours) == fields(theirs), name
        assert {each.name for each in ours.nested_types} == {each.name for each in theirs.nested_types}, name


@pytest.mark.needs("kserve")
def test_kserves_clients_get_the_answers_of_the_whole_model(service, images):
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig

    async def ask() -> None:
        given = InferInput("image", list(images[0].shape), "FP32")
        given.set_data_from_numpy(images[0], binary_data=True)
        request = InferRequest(model_name="tiny", infer_inputs=[given])
        rest = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        assert await rest.is_server_live(service.server.http_url)
        assert await rest.is_server_ready(service.server.http_url)
        assert await rest.is_model_ready(service.server.http_url, "tiny")
        answer = await rest.infer(service.server.http_url, request, model_name="tiny")
        np.testing.assert_allclose(answer.outputs[0].as_numpy(), service.expected(images[0]), rtol=1e-6)
        await rest.close()
        remote = InferenceGRPCClient(service.server.grpc_address)
        answer = await remote.infer(request, timeout=10)
        np.testing.assert_allclose(answer.outputs[0].as_numpy(), service.expected(images[0]), rtol=1e-6)
        await remote.close()

    asyncio.run(ask())


def _given(triton, image):
    given = triton.InferInput("image", image.shape, "FP32")
    given.set_data_from_numpy(image)
    return given
