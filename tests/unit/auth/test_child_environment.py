"""Which variables a child process is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.auth.child_environment import AWS_SECRETS, is_secret_name, minimal_environment, remove_secrets


@pytest.mark.parametrize(
    "name",
    [
        *("TIDEGATE_ACCESS_KEYS", "TIDEGATE_DATABASE_URL", "TIDEGATE_WEBHOOK_SECRET", *AWS_SECRETS, "PGPASSWORD"),
        *("MYSQL_PWD", "DB_PASSWORD", "GITHUB_TOKEN", "HF_TOKEN", "OPENAI_API_KEY", "DATABASE_URL", "SENTRY_DSN"),
        *("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        *("aws_secret_access_key", "MY_APP_PASSWD", "AZURE_CLIENT_SECRET", "API_KEYS", "DJANGO_SECRET_KEY"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert remove_secrets({name: "a-value", "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "PWD", "OLDPWD", "HOME", "TOKENIZERS_PARALLELISM", "AWS_REGION", "AWS_PROFILE", "AWS_ROLE_ARN"),
        *("AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *(
            "KEYBOARD",
            "SSH_AUTH_SOCK",
            "TIDEGATE_AWS_KEYS_FILE",
            "OMP_NUM_THREADS",
            "PYTHONPATH",
            "CUDA_VISIBLE_DEVICES",
        ),
    ],
)
def test_names_of_what_is_none(name: str) -> None:
    assert remove_secrets({name: "a-value"}) == {name: "a-value"}


def test_a_url_with_a_password_is_a_secret_under_any_name_but_a_proxy_s() -> None:
    url = "postgresql+psycopg://user:pass@db/x"
    assert remove_secrets(
        {"REPORTS": url, "HTTPS_PROXY": url, "https_proxy": url, "PLAIN": "http://host:80/a@b"}
    ) == {
        "HTTPS_PROXY": url,
        "https_proxy": url,
        "PLAIN": "http://host:80/a@b",
    }


secrets = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=",:@/"), min_size=8, max_size=20
)


@given(secrets, secrets, st.text(max_size=5), st.text(max_size=5))
def test_no_value_that_is_passed_on_holds_a_secret_of_the_server(
    access: str, password: str, before: str, after: str
) -> None:
    given_on = remove_secrets(
        {
            "TIDEGATE_ACCESS_KEYS": f"AKID:{access},AKIDOTHER:{access}2",
            "TIDEGATE_DATABASE_URL": f"postgresql://tidegate:{password}@db/x",
            "ONE": before + access + after,
            "TWO": before + password + after,
            "LANG": "C",
        }
    )
    assert given_on == {"LANG": "C"}


def test_the_id_of_a_key_and_the_way_to_programs_stay() -> None:
    given_on = {
        "TIDEGATE_ACCESS_KEYS": "AKID:/usr/bin",
        "AWS_ACCESS_KEY_ID": "AKID",
        "PATH": "/usr/bin",
        "WHO": "AKID",
    }
    assert remove_secrets(given_on) == {"PATH": "/usr/bin", "WHO": "AKID"}


def test_a_program_that_needs_nothing_gets_a_few_general_variables() -> None:
    assert minimal_environment({"PATH": "/bin", "ANYTHING": "x", "LANG": "C"}) == {"PATH": "/bin", "LANG": "C"}
